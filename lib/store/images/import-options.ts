// The options of an import of an image.
import { checkNumber, checkOptions, checkText, type SignalOption } from '../../base/options.js'
import { GiB, MiB } from '../../base/units.js'
import { checkLabels } from '../common/store-options.js'
import type { Labels } from '../common/layer-types.js'
import type { ApplyOptions, ApplyProgress } from '../tar-read/apply-tar.js'

/** Options of `LayerStore.importImage`. */
export interface ImportOptions
  extends SignalOption, Pick<ApplyOptions, 'devices' | 'setuid' | 'maxBytes' | 'maxEntries' | 'maxMemoryBytes'> {
  /**
   * The name of the image in the archive, such as `docker.io/library/busybox:latest`. Default: the only image; needed
   * if the archive has several.
   */
  readonly name?: string
  /** The platform of the image, such as `linux/arm64`. Default: that of this machine. */
  readonly platform?: string
  /** Labels of the layers that are created. Default none. */
  readonly labels?: Labels
  /** Called as by `applyLayer`, and once for each layer that exists already. */
  readonly onProgress?: (progress: ImportProgress) => void
}

/** The amount that `LayerStore.importImage` has unpacked so far. */
export interface ImportProgress extends ApplyProgress {
  /** The number of the current layer, from 1, the lowest. */
  readonly layer: number
  /** The number of layers of the image. */
  readonly layers: number
}

const LIMITS = ['maxBytes', 'maxEntries', 'maxMemoryBytes']
const KNOWN = ['name', 'platform', 'labels', 'devices', 'setuid', ...LIMITS, 'onProgress', 'signal']
export const DEFAULT_BYTES = 64 * GiB
export const DEFAULT_ENTRIES = 4_000_000
const DEFAULT_MEMORY_BYTES = 64 * MiB

export function checkImportOptions(options: ImportOptions): void {
  checkOptions(options, KNOWN, 'importImage')
  checkLabels(options.labels ?? {})
  if (options.name !== undefined) checkText('name', options.name)
  if (options.platform !== undefined) checkText('platform', options.platform)
  checkNumber('maxBytes', options.maxBytes ?? DEFAULT_BYTES, { min: 0 })
  checkNumber('maxEntries', options.maxEntries ?? DEFAULT_ENTRIES, { min: 0 })
  checkNumber('maxMemoryBytes', options.maxMemoryBytes ?? DEFAULT_MEMORY_BYTES, { min: 0 })
}
