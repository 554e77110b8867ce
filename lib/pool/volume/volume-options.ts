// What callers may ask of a volume, and the checks before the kernel is asked.
import type { ActiveThin } from '../../kernel/port/pool-port.js'
import { type SignalOption, checkNumber } from '../../base/options.js'
import { MAX_THIN_ID, SECTOR_BYTES } from '../../base/units.js'

/** Where a volume is read that has no block of its own there. */
export interface ExternalOriginOption {
  /**
   * Path of a block device, read where the volume has no block of its own, and never written. Nobody else may write to
   * it either while it serves. Past its end there are zeros. The pool does not store it: each activation, of this
   * volume and of its snapshots, must name it again, or what it gave reads as zeros. Volume objects remember it.
   */
  readonly externalOrigin?: string
}

/** Options of `ThinPool.createVolume`. */
export interface CreateVolumeOptions extends ExternalOriginOption, SignalOption {
  /** Size in bytes, whole sectors. It takes no space until it is written. */
  readonly sizeBytes: number
  /** The thin id, 0 to 2^24-1. Default: a free one. */
  readonly id?: number
  /** Name of the mapped device. Default `POOL-ID`. */
  readonly name?: string
}

/** What the pool does not know of an inactive volume. */
export interface FindVolumeOptions extends ExternalOriginOption, SignalOption {
  /** Size in bytes, whole sectors. An active volume is asked for it. */
  readonly sizeBytes?: number
  /**
   * The caller knows that the pool has the volume, and that no other program activates it: the pool's metadata is not
   * read, and other devices are not looked at. `'unchecked'`: not even its own is; it is taken for inactive until
   * `activate` or `refresh`, and of a device that another program made of it, `activate` and `snapshot` see nothing. Its
   * other calls fail where that is wrong. Default false.
   */
  readonly known?: boolean | 'unchecked'
}

/** Options of `ThinVolume.activate`. */
export interface ActivateOptions extends ExternalOriginOption, SignalOption {
  /** Size in bytes, whole sectors. Default: what is known of the volume; the pool itself stores no sizes. */
  readonly sizeBytes?: number
  /** Name of the mapped device. Default: the volume's name. */
  readonly name?: string
  /** Writes to the node fail. Default false. */
  readonly readOnly?: boolean
}

/** Options of `ThinVolume.deactivate`. */
export interface DeactivateOptions extends SignalOption {
  /** How long a busy device is tried, in milliseconds. Default 10 000; 0: once. */
  readonly timeoutMs?: number
}

/** Options of `ThinVolume.snapshot`. */
export interface SnapshotOptions extends SignalOption {
  /** The new volume's id, 0 to 2^24-1. Default: a free one. */
  readonly id?: number
  /** Name of the new volume's mapped device. Default `POOL-ID`. */
  readonly name?: string
  /** Activate the snapshot too. Default false. If that fails the snapshot is deleted again. */
  readonly activate?: boolean
  /** With `activate`: read-only. Default false. */
  readonly readOnly?: boolean
}

/** What is known of a volume when its object is made. */
export interface VolumeIdentity {
  readonly id: number
  readonly name?: string | undefined
  readonly sizeBytes?: number | undefined
  readonly externalOrigin?: string | undefined
  /** The thin id that it is a snapshot of. */
  readonly origin?: number | undefined
  readonly active?: ActiveThin | undefined
  /** Devices of other programs are not looked for: the caller says that there are none. */
  readonly unchecked?: boolean | undefined
}

/** How long a busy device is tried where the caller says nothing. */
export const DEFAULT_TIMEOUT_MS = 10_000

export function checkThinId(id: unknown): number {
  return checkNumber('id', id, { min: 0, max: MAX_THIN_ID })
}

export function checkVolumeSize(sizeBytes: unknown): number {
  return checkNumber('sizeBytes', sizeBytes, { min: SECTOR_BYTES, multipleOf: SECTOR_BYTES })
}
