// Options and results of the calls of `LayerStore`.
import type { SignalOption } from '../base/options.js'
import type { PoolMetrics } from '../pool/metrics.js'
import type { PoolStatus } from '../pool/state/status.js'
import type { Progress } from '../pool/volume/batch.js'
import type { LayerInfo, Labels } from './common/layer-types.js'
import type { Layer } from './layers/layer.js'
import type { RawProgress } from './layers/raw-image.js'
import type { ApplyOptions } from './tar-read/apply-tar.js'

/** Options of `LayerStore.commit`. */
export interface CommitOptions extends SignalOption {
  /** Labels of the committed layer. They replace those of the active layer. Default none. */
  readonly labels?: Labels
}

/** Options of `LayerStore.fork`. */
export interface ForkOptions extends SignalOption {
  /** The name of the checkpoint. Default: the key of the layer, `@` and a random uuid. */
  readonly name?: string
  /** Labels of each of the new active layers. Default none. */
  readonly labels?: Labels
  /** Called after each layer that is made, on the JavaScript thread. */
  readonly onProgress?: (progress: Progress) => void
}

/** The result of `LayerStore.fork`. */
export interface ForkResult {
  /** The name of the checkpoint, a committed layer, which is the parent of the new layers. */
  readonly name: string
  /** The new active layers, in the order of the keys. */
  readonly layers: readonly Layer[]
}

/** Options of `LayerStore.importRaw`. */
export interface ImportRawOptions extends SignalOption {
  /**
   * The size of the layer in bytes, whole MiB. Needed if the image is a stream. Default: the size of the file or block
   * device, rounded up to whole MiB.
   */
  readonly sizeBytes?: number
  /** Labels of the layer. Default none. */
  readonly labels?: Labels
  /** Called after each MiB of the image, on the JavaScript thread. */
  readonly onProgress?: (progress: RawProgress) => void
}

/** Options of `LayerStore.exportRaw`. */
export interface ExportRawOptions extends SignalOption {
  /** Called after each MiB of the layer, on the JavaScript thread. */
  readonly onProgress?: (progress: RawProgress) => void
}

/** Options of `LayerStore.resize`. */
export interface ResizeOptions extends SignalOption {
  /** The new size in bytes, whole MiB, at least the present one. */
  readonly sizeBytes: number
}

/** Options of `LayerStore.reset`. */
export interface ResetOptions extends SignalOption {
  /** The name of the committed layer whose content the layer gets, and which becomes its parent. Default: the parent. */
  readonly to?: string
}

/** Options of `LayerStore.update`. */
export interface UpdateOptions {
  /** Labels that replace all existing labels. Default: the existing labels. */
  readonly labels?: Labels
  /** Labels to add or change; the others stay. A label with an empty value is removed. Default none. */
  readonly setLabels?: Labels
}

/** Options of `LayerStore.withMounted`. */
export interface WithMountedOptions extends SignalOption {
  /** Mounts the layer read-only. Committed layers and views are always mounted read-only. Default false. */
  readonly readOnly?: boolean
}

/** Options of `LayerStore.applyLayer`. */
export interface ApplyLayerOptions extends Omit<ApplyOptions, 'kernel'> {
  /** Keeps the layer after a failure, with its incomplete content. Default false. */
  readonly keepFailed?: boolean
}

/** Options of `LayerStore.walk`. */
export interface WalkOptions {
  /** Selects the layers to return. Default: all layers. */
  readonly filter?: (info: LayerInfo) => boolean
}

/** The state of a store and of its pool. */
export interface StoreStatus {
  /** The status of the store's pool, as `ThinPool.status` returns it. */
  readonly pool: PoolStatus
  /** The number of layers that have a key. */
  readonly layers: number
  /** The number of volumes of removed layers that this object has not deleted yet. */
  readonly removing: number
  /** The number of warm layers that are ready, by parent. */
  readonly warm: Readonly<Record<string, number>>
}

/** The numbers of a store and of its pool for a monitor. */
export interface StoreMetrics extends PoolMetrics {
  /** Number of layers that have a key. */
  readonly layers: number
  /** Number of volumes of removed layers that this object has not deleted yet. */
  readonly removing: number
  /** Number of warm layers of this object that are ready. */
  readonly warm: number
}
