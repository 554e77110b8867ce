// Metrics for Prometheus, by prom-client: an optional peer dependency.
import type { Counter, Gauge, Registry } from 'prom-client'
import { checkOptions } from '../base/options.js'
import { dependency } from '../base/optional-dependency.js'
import { Reader, type ExportOptions, type MetricsSources, type Reading } from './sources.js'

/** @internal Loads prom-client. Rejects with `DM_DEPENDENCY` if the package is not installed. */
export const loadPromClient = () => dependency('prom-client', '^15', () => import('prom-client'))

/** The part of a `Registry` of prom-client that is used. Declared here, so that the types need no optional package. */
export interface PrometheusRegistry {
  /** Takes a metric of the export. */
  registerMetric(metric: never): void
  /** Drops the metric of this name, at the end of the export. */
  removeSingleMetric(name: string): void
}

/** Options of `exportToPrometheus`. */
export interface PrometheusOptions extends ExportOptions {
  /** The `Registry` of prom-client. Default: its global registry. */
  readonly registry?: PrometheusRegistry
}

/**
 * Registers the metrics of pools and stores with prom-client. Each scrape reads each source once. A source whose numbers
 * cannot be read has `dm_thin_pool_up 0` and no other metric. Resolves with a function that removes the metrics from the
 * registry. One registry takes one export: pass all sources to it, or a function that returns them.
 *
 * Rejects with `DM_DEPENDENCY` (`prom-client` is not installed), `DM_INVALID_ARGUMENT`.
 */
export async function exportToPrometheus(
  sources: MetricsSources,
  options: PrometheusOptions = {},
): Promise<() => void> {
  checkOptions(options, ['labels', 'registry', 'volumes'], 'exportToPrometheus')
  const reader = new Reader(sources, options)
  const client = await loadPromClient()
  const registry = (options.registry ?? client.register) as Registry
  const scrape = sharedByScrape(() => reader.read())
  const metrics = reader.instruments.map(instrument => {
    const { name, help, kind, labels } = instrument
    const collect = async () => {
      const reading = (await scrape()).find(each => each.instrument.name === name)
      set(metric, reading?.points ?? [])
    }
    const configuration = { name, help, labelNames: [...reader.labelNames, ...labels], registers: [registry], collect }
    const metric: Gauge | Counter =
      kind === 'counter' ? new client.Counter(configuration) : new client.Gauge(configuration)
    return name
  })
  return () => {
    for (const name of metrics) registry.removeSingleMetric(name)
  }
}

function set(metric: Gauge | Counter, points: Reading['points']): void {
  metric.reset()
  for (const { labels, value } of points) metric.inc(labels, value)
}

/** Shares one `read` among the calls until its end. A registry collects all metrics of a scrape at once. */
function sharedByScrape<T>(read: () => Promise<T>): () => Promise<T> {
  let shared: Promise<T> | undefined
  return () => {
    shared ??= read().finally(() => (shared = undefined))
    return shared
  }
}
