// The metrics that are exported: their names, and how each is taken from the numbers of a pool or a store.
import type { PoolMetrics } from '../pool/metrics.js'

/** The numbers of one pool or store. `layers`, `removing` and `warm` are those of a store. */
export type SourceNumbers = PoolMetrics & Partial<Record<'layers' | 'removing' | 'warm', number>>

/** One value of a metric. A value without labels of its own is that of the whole pool. */
export interface Point {
  readonly value: number
  readonly labels?: Readonly<Record<string, string>>
}

export interface Instrument {
  /** The name in Prometheus. */
  readonly name: string
  readonly help: string
  readonly kind: 'gauge' | 'counter'
  /** The unit in OpenTelemetry (UCUM). */
  readonly unit: string
  /** Names of the labels of each value, besides those that all metrics have. */
  readonly labels: readonly string[]
  readonly points: (numbers: SourceNumbers) => readonly Point[]
}

type NumberField = {
  [Field in keyof SourceNumbers]-?: SourceNumbers[Field] extends number | undefined ? Field : never
}[keyof SourceNumbers]

/** Exported as 1 for a pool whose numbers could be read, and as 0 for one whose `metrics` rejected. */
export const UP: Omit<Instrument, 'points'> = {
  name: 'dm_thin_pool_up',
  help: '1 if the numbers of the pool could be read',
  kind: 'gauge',
  unit: '1',
  labels: [],
}

/** The names that begin with `topolvm_` are those of TopoLVM's metrics of the same content. */
export const INSTRUMENTS: readonly Instrument[] = [
  gauge('topolvm_thinpool_data_percent', 'dataPercent', '%', 'Used data in percent'),
  gauge('topolvm_thinpool_metadata_percent', 'metadataPercent', '%', 'Used metadata in percent'),
  gauge('topolvm_thinpool_size_bytes', 'dataTotalBytes', 'By', 'Size of the data in bytes'),
  gauge('dm_thin_pool_data_used_bytes', 'dataUsedBytes', 'By', 'Data that volumes map, in bytes'),
  gauge('dm_thin_pool_metadata_used_bytes', 'metadataUsedBytes', 'By', 'Used metadata in bytes'),
  gauge('dm_thin_pool_metadata_size_bytes', 'metadataTotalBytes', 'By', 'Size of the metadata in bytes'),
  gauge('dm_thin_pool_data_block_bytes', 'dataBlockBytes', 'By', 'The data block size in bytes'),
  gauge('dm_thin_pool_volumes', 'volumes', '{volume}', 'Number of volumes and snapshots'),
  gauge('dm_thin_pool_snapshots_left', 'snapshotsLeft', '{snapshot}', 'Snapshots that the pool can still take'),
  gauge('dm_thin_pool_mode', 'mode', '1', '0 rw, 1 out_of_data_space, 2 ro, 3 fail, 4 error'),
  gauge('dm_thin_pool_needs_check', 'needsCheck', '1', '1 if the metadata must be checked'),
  gauge('dm_thin_pool_queues', 'queues', '1', '1 if writes to a full pool wait, 0 if they fail'),
  gauge('dm_thin_pool_transaction_id', 'transactionId', '1', 'The transaction id'),
  counter('dm_thin_pool_waits_total', 'waits', '{wait}', 'Times that keepers of this process found the pool full'),
  counter('dm_thin_pool_growths_total', 'growths', '{growth}', 'Times that keepers of this process grew the pool'),
  gauge('dm_thin_store_layers', 'layers', '{layer}', 'Number of layers that have a key'),
  gauge('dm_thin_store_removing', 'removing', '{volume}', 'Volumes of removed layers that are not deleted yet'),
  gauge('dm_thin_store_warm', 'warm', '{layer}', 'Warm layers that are ready'),
]

/** Exported in addition if the option `volumes` is set: one value for each volume. */
export const VOLUME_INSTRUMENT: Instrument = {
  name: 'dm_thin_volume_mapped_bytes',
  help: 'Data that the volume maps, in bytes, shared blocks included',
  kind: 'gauge',
  unit: 'By',
  labels: ['thin_id', 'volume'],
  points: ({ volumeSpace = [] }) =>
    volumeSpace.map(({ id, name = '', mappedBytes }) => ({
      value: mappedBytes,
      labels: { thin_id: String(id), volume: name },
    })),
}

function gauge(name: string, field: NumberField, unit: string, help: string): Instrument {
  const points = (numbers: SourceNumbers) => {
    const value = numbers[field]
    return value === undefined ? [] : [{ value }]
  }
  return { name, help, kind: 'gauge', unit, labels: [], points }
}

function counter(name: string, field: NumberField, unit: string, help: string): Instrument {
  return { ...gauge(name, field, unit, help), kind: 'counter' }
}
