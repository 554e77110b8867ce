// Options of volumes and their validation.
import type { ActiveThin } from '../../kernel/port/pool-port.js'
import { type SignalOption, checkNumber } from '../../base/options.js'
import { SECTOR_BYTES } from '../../base/units.js'

/** The external origin of a volume. */
export interface ExternalOriginOption {
  /**
   * Path of a block device that the volume reads at blocks of which it has none. The volume never writes to it. No one
   * else may write to it while it serves as an external origin. Reads past its end return zeros. The pool does not
   * store it: each activation of this volume and of its snapshots must name it again, or its data reads as zeros.
   * Volume objects remember it.
   */
  readonly externalOrigin?: string
}

/** Options of `ThinPool.createVolume`. */
export interface CreateVolumeOptions extends ExternalOriginOption, SignalOption {
  /** Size in bytes, whole sectors. The volume takes no space until it is written. */
  readonly sizeBytes: number
  /** The thin id, 0 to 2^24-1. Default: a free one. */
  readonly id?: number
  /** Name of the mapped device. Default `POOL-ID`. */
  readonly name?: string
}

/** Facts about an inactive volume that its pool does not store. */
export interface FindVolumeOptions extends ExternalOriginOption, SignalOption {
  /**
   * Size in bytes, whole sectors. The size of an active volume is read from its device. Default: the recorded size if
   * the pool has a `record`, otherwise unknown.
   */
  readonly sizeBytes?: number
  /**
   * Skips checks that your own records make unnecessary. `true`: does not verify that the pool has this volume, and
   * does not look for devices that other programs made of it. `'unchecked'`: does not look for this library's own
   * device either; the volume counts as inactive until `activate()` or `refresh()`, and `activate()` and `snapshot()`
   * do not notice a device that another program made of it. Other calls fail if your records are wrong. Default false.
   */
  readonly known?: boolean | 'unchecked'
}

/** Options of `ThinVolume.activate`. */
export interface ActivateOptions extends ExternalOriginOption, SignalOption {
  /** Size in bytes, whole sectors. Default: the known size of the volume; the pool itself stores no sizes. */
  readonly sizeBytes?: number
  /** Name of the mapped device. Default: the volume's name. */
  readonly name?: string
  /** Activates read-only: writes to the device fail. Default false. */
  readonly readOnly?: boolean
}

/** Options of `ThinVolume.grow`. */
export interface GrowVolumeOptions extends SignalOption {
  /** The new size in bytes, whole sectors, at least the present one. */
  readonly sizeBytes: number
}

/** Options of `ThinVolume.deactivate`. */
export interface DeactivateOptions extends SignalOption {
  /** Time for which a busy device is retried, in milliseconds. Default 10 000; 0: one attempt. */
  readonly timeoutMs?: number
}

/** Options of `ThinVolume.snapshot`. */
export interface SnapshotOptions extends SignalOption {
  /** The new volume's id, 0 to 2^24-1. Default: a free one. */
  readonly id?: number
  /** Name of the new volume's mapped device. Default `POOL-ID`. */
  readonly name?: string
  /** Activates the snapshot too. If that fails, the snapshot is deleted again. Default false. */
  readonly activate?: boolean
  /** With `activate`: activates read-only. Default false. */
  readonly readOnly?: boolean
}

/** The known facts about a volume when its object is made. */
export interface VolumeIdentity {
  readonly id: number
  readonly name?: string | undefined
  readonly sizeBytes?: number | undefined
  readonly externalOrigin?: string | undefined
  /** The thin id of the origin, if the volume is a snapshot. */
  readonly origin?: number | undefined
  readonly active?: ActiveThin | undefined
  /** True to skip the search for devices of other programs: the caller guarantees that there are none. */
  readonly unchecked?: boolean | undefined
}

export function checkVolumeSize(sizeBytes: unknown): number {
  return checkNumber('sizeBytes', sizeBytes, { min: SECTOR_BYTES, multipleOf: SECTOR_BYTES })
}
