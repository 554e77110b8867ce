// A snapshotter of containerd: a layer store that is served on a Unix socket.
import path from 'node:path'
import type { OpenStoreOptions } from '../store/common/store-options.js'
import { DmThinError } from '../base/errors.js'
import { serveMetrics, type MetricsServer, type ServeMetricsOptions } from '../metrics/endpoint.js'
import { loadGrpc } from '../grpc/load.js'
import { listen } from '../grpc/server.js'
import { isPoolName, Pools, type PoolDevices } from './pools.js'
import { snapshotsService } from './service.js'

/** The path of the definition. It is in the folder of the source, because the compiler does not copy it into `dist`. */
const PROTO = path.join(__dirname, '../../lib/snapshotter/snapshots.proto')
const SERVICE = 'containerd.services.snapshots.v1.Snapshots'

/** Options of `startSnapshotter`: its socket, its stores and their pools. */
export interface SnapshotterOptions {
  /** The path of the Unix socket. A socket on which no server listens is replaced. */
  readonly address: string
  /** The options of the store, for `LayerStore.open`. */
  readonly store: Omit<OpenStoreOptions, 'signal'>
  /**
   * Further pools of the same socket, by name. A name has at most 32 characters (`A-Z`, `a-z`, `0-9`, `_` and `-`), begins
   * with a letter or digit, and is not `default`. The records of each pool are in `pools/NAME` of the store's directory,
   * where later starts find them. A pool without devices has its files there. Default none.
   */
  readonly pools?: Readonly<Record<string, PoolDevices>>
  /** Serves the metrics of all pools at `/metrics` for Prometheus (`prom-client` must be installed). Default: no server. */
  readonly metrics?: ServeMetricsOptions
  /** Called with errors that no client caused. Default: prints them to standard error. */
  readonly onError?: (text: string, error: unknown) => void
}

/** A running snapshotter. */
export interface Snapshotter {
  /** The absolute path of the socket. */
  readonly address: string
  /** The URL of the metrics. Undefined without the option `metrics`. */
  readonly metricsUrl: string | undefined
  /**
   * Rejects new calls, waits at most a minute for the calls in progress, removes the socket and closes the stores. Containers
   * keep running, because their devices and mounts stay. Idempotent.
   */
  stop(): Promise<void>
}

/**
 * Opens the store and serves the snapshots service of containerd on a Unix socket that only root can use. Resolves when the
 * server listens.
 *
 * Rejects with `DM_DEPENDENCY` (`@grpc/grpc-js`, `@grpc/proto-loader` or `prom-client` is not installed), `DM_BUSY` (another server
 * listens on the address), `DM_INVALID_ARGUMENT` (also if the address exists and is not a socket), and the codes of
 * `LayerStore.open`.
 */
export async function startSnapshotter(options: SnapshotterOptions): Promise<Snapshotter> {
  const named = new Map(Object.entries(options.pools ?? {}))
  for (const name of named.keys()) {
    if (isPoolName(name)) continue
    throw new DmThinError('DM_INVALID_ARGUMENT', `${JSON.stringify(name)} is not a name for a further pool`)
  }
  const onError = options.onError ?? ((text, error) => console.error(`${text}:`, error))
  const { grpc, service } = await loadGrpc(PROTO)
  const address = path.resolve(options.address)
  const store = { ...options.store, directory: path.resolve(options.store.directory) }
  const pools = await Pools.open(store, named)
  let metrics: MetricsServer | undefined
  try {
    if (options.metrics !== undefined) metrics = await serveMetrics(() => pools.all, options.metrics)
    const server = await listen(grpc, address, [{ service: service(SERVICE), calls: snapshotsService(pools, onError) }])
    let stopped: Promise<void> | undefined
    const stop = async () => {
      await server.stop()
      await metrics?.stop()
      await pools.close()
    }
    return { address, metricsUrl: metrics?.url, stop: () => (stopped ??= stop()) }
  } catch (error) {
    await metrics?.stop()
    await pools.close()
    throw error
  }
}
