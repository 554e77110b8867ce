// Pools and stores whose numbers are exported, and one reading of all of them.
import { checkBoolean, invalid, shown } from '../base/options.js'
import { LayerStore } from '../store/layer-store.js'
import { ThinPool } from '../pool/thin-pool.js'
import { INSTRUMENTS, UP, VOLUME_INSTRUMENT, type Instrument, type Point, type SourceNumbers } from './instruments.js'

/** A pool, or a layer store, which has the numbers of its pool too. */
export type MetricsSource = ThinPool | LayerStore

/** The pools and stores to export, or a function that returns them at each reading. */
export type MetricsSources = readonly MetricsSource[] | (() => readonly MetricsSource[])

/** Options of every exporter. */
export interface ExportOptions {
  /** Labels that each metric gets besides `pool`, for example `{ node: 'a1' }`. Default none. */
  readonly labels?: Readonly<Record<string, string>>
  /** Exports the mapped bytes of each volume, with the labels `thin_id` and `volume`. Default false. */
  readonly volumes?: boolean
}

/** All values of one metric, of all sources. */
export interface Reading {
  readonly instrument: Omit<Instrument, 'points'>
  readonly points: readonly Required<Point>[]
}

/** Reader of the numbers of all sources, each with one call. A source that cannot be read has the value 0 of `UP` alone. */
export class Reader {
  readonly instruments: readonly Omit<Instrument, 'points'>[]
  readonly labelNames: readonly string[]
  readonly #exported: readonly Instrument[]
  readonly #sources: () => readonly MetricsSource[]
  readonly #labels: Readonly<Record<string, string>>

  constructor(sources: MetricsSources, options: ExportOptions) {
    this.#sources = typeof sources === 'function' ? sources : () => sources
    if (typeof sources !== 'function') sources.forEach(checkSource)
    this.#labels = checkLabels(options.labels)
    this.#exported = checkBoolean('volumes', options.volumes) ? [...INSTRUMENTS, VOLUME_INSTRUMENT] : INSTRUMENTS
    this.instruments = [UP, ...this.#exported]
    this.labelNames = ['pool', ...Object.keys(this.#labels)]
  }

  async read(): Promise<readonly Reading[]> {
    const all = await Promise.all(this.#sources().map(source => this.#readOne(checkSource(source))))
    const up = all.map(({ labels, numbers }) => ({ value: Number(numbers !== undefined), labels }))
    const read = (instrument: Instrument): Reading => ({
      instrument,
      points: all.flatMap(({ labels, numbers }) =>
        numbers === undefined
          ? []
          : instrument.points(numbers).map(point => ({ value: point.value, labels: { ...labels, ...point.labels } })),
      ),
    })
    return [{ instrument: UP, points: up }, ...this.#exported.map(read)]
  }

  async #readOne(source: MetricsSource) {
    const labels = { pool: source instanceof LayerStore ? source.poolName : source.name, ...this.#labels }
    // A pool that failed or was removed must not hide the numbers of the others.
    const numbers: SourceNumbers | undefined = await source.metrics().catch(() => undefined)
    return { labels, numbers }
  }
}

function checkSource(source: unknown): MetricsSource {
  if (source instanceof ThinPool || source instanceof LayerStore) return source
  throw invalid(`a source of metrics must be a ThinPool or a LayerStore, but is ${shown(source)}`)
}

function checkLabels(labels: unknown = {}): Readonly<Record<string, string>> {
  if (typeof labels !== 'object' || labels === null) throw invalid(`labels must be an object, but are ${shown(labels)}`)
  for (const [name, value] of Object.entries(labels)) {
    const isFree = /^[a-zA-Z_]\w*$/.test(name) && !name.startsWith('__') && !OWN_LABELS.includes(name)
    if (!isFree) throw invalid(`labels: ${shown(name)} is not a name for a label`)
    if (typeof value !== 'string') throw invalid(`labels: ${name} must be a string, but is ${shown(value)}`)
  }
  return labels as Record<string, string>
}

const OWN_LABELS = ['pool', ...VOLUME_INSTRUMENT.labels]
