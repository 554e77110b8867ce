// An HTTP server for Prometheus alone, for services that have no HTTP server of their own.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { checkNumber, checkOptions, invalid, shown } from '../base/options.js'
import { exportToPrometheus, loadPromClient } from './prometheus.js'
import type { ExportOptions, MetricsSources } from './sources.js'

/** Options of `serveMetrics`. */
export interface ServeMetricsOptions extends ExportOptions {
  /** The TCP port, 0 to 65535. 0: the kernel chooses a free one. */
  readonly port: number
  /** The address to listen on. Default `127.0.0.1`: the metrics have no access control. */
  readonly host?: string
}

/** A running server of metrics. */
export interface MetricsServer {
  /** The URL that Prometheus scrapes, for example `http://127.0.0.1:9102/metrics`. */
  readonly url: string
  /** Closes the server and its connections. Does not reject. Idempotent. */
  stop(): Promise<void>
}

/**
 * Serves the metrics of pools and stores at `/metrics` over HTTP. Resolves when the server listens.
 *
 * Rejects with `DM_DEPENDENCY` (`prom-client` is not installed), `DM_INVALID_ARGUMENT`, and the error of Node if the port
 * is taken.
 */
export async function serveMetrics(sources: MetricsSources, options: ServeMetricsOptions): Promise<MetricsServer> {
  checkOptions(options, ['host', 'labels', 'port', 'volumes'], 'serveMetrics')
  const { port, host = '127.0.0.1', ...rest } = options
  checkNumber('port', port, { min: 0, max: 65_535 })
  if (typeof host !== 'string' || host === '') throw invalid(`host must be an address, but is ${shown(host)}`)
  const { Registry } = await loadPromClient()
  const registry = new Registry()
  await exportToPrometheus(sources, { ...rest, registry })
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404).end('metrics are at /metrics\n')
      return
    }
    void registry.metrics().then(text => response.writeHead(200, { 'Content-Type': registry.contentType }).end(text))
  })
  server.listen(port, host)
  await once(server, 'listening')
  const { address, family, port: bound } = server.address() as AddressInfo
  const name = family === 'IPv6' ? `[${address}]` : address
  let stopped: Promise<unknown> | undefined
  const stop = async () => {
    stopped ??= new Promise(resolve => server.close(resolve))
    server.closeAllConnections()
    await stopped
  }
  return { url: `http://${name}:${bound}/metrics`, stop }
}
