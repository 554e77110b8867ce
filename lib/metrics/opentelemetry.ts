// Metrics for OpenTelemetry. They are created with the meter of the caller, so no package is loaded.
import type { Meter, Observable } from '@opentelemetry/api'
import { checkOptions, invalid } from '../base/options.js'
import { Reader, type ExportOptions, type MetricsSources } from './sources.js'

/** The part of a `Meter` of OpenTelemetry that is used. Declared here, so that the types need no optional package. */
export interface OpenTelemetryMeter {
  /** Creates an instrument whose values are not summed. */
  createObservableGauge(name: string, options: never): unknown
  /** Creates an instrument whose values only grow. */
  createObservableCounter(name: string, options: never): unknown
  /** Registers the function that is called at each collection. */
  addBatchObservableCallback(callback: never, observables: never): void
  /** Removes that function. */
  removeBatchObservableCallback(callback: never, observables: never): void
}

/** Options of `exportToOpenTelemetry`. */
export interface OpenTelemetryOptions extends ExportOptions {
  /** The meter, from `metrics.getMeter` of `@opentelemetry/api` or from a `MeterProvider`. */
  readonly meter: OpenTelemetryMeter
}

/**
 * Creates an observable instrument for each metric of pools and stores. Each collection reads each source once. The names
 * are those of Prometheus without `_total`, which OpenTelemetry's exporter for Prometheus adds. A source whose numbers
 * cannot be read has `dm_thin_pool_up` 0 and no other metric. Returns a function that ends the observation.
 *
 * Throws `DM_INVALID_ARGUMENT`.
 */
export function exportToOpenTelemetry(sources: MetricsSources, options: OpenTelemetryOptions): () => void {
  checkOptions(options, ['labels', 'meter', 'volumes'], 'exportToOpenTelemetry')
  if (typeof options.meter?.addBatchObservableCallback !== 'function')
    throw invalid('meter must be a meter of OpenTelemetry')
  const meter = options.meter as Meter
  const reader = new Reader(sources, options)
  const observables = new Map<string, Observable>()
  for (const { name, help: description, kind, unit } of reader.instruments) {
    const create = kind === 'counter' ? 'createObservableCounter' : 'createObservableGauge'
    observables.set(name, meter[create](name.replace(/_total$/, ''), { description, unit }))
  }
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = async result => {
    for (const { instrument, points } of await reader.read()) {
      for (const { labels, value } of points) result.observe(observables.get(instrument.name)!, value, labels)
    }
  }
  const all = [...observables.values()]
  meter.addBatchObservableCallback(observe, all)
  return () => meter.removeBatchObservableCallback(observe, all)
}
