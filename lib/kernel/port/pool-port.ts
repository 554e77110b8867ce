// Thin pools and volumes: compound calls of several device mapper commands.
import type { NativeOperation } from '../errors/native-operation.js'
import type { DmThinError } from '../../base/errors.js'
import type { DeviceAddress, DeviceInfo, TargetLine } from './device-port.js'
import type { Handle, HandlePort } from './handle.js'

export interface ActiveThin {
  readonly name: string
  readonly uuid: string
  readonly device: number
  readonly id: number
}

export interface ActivateRequest {
  readonly name: string
  readonly uuid: string
  readonly table: readonly TargetLine[]
  readonly readOnly?: boolean
  /** The thin id of a volume, for the check of its guard. */
  readonly thinId?: number
}

/** The guard of activations, checked once for each call. */
export interface ActivationGuard {
  /**
   * The pool whose lock is held shared until the devices are active. Rejects a `thinId` that is active as a device
   * without `ownPrefix`.
   */
  readonly pool: KnownPool
  /** The prefix of the library's own devices. Empty: every device counts as own, and none is examined. */
  readonly ownPrefix: string
}

/**
 * A pool as it was when it was opened. It is the same one while its device number has its uuid or, if it has none, its
 * name. It is addressed by its uuid, or by its number if it has none.
 */
export interface KnownPool {
  readonly device: number
  readonly name: string
  readonly uuid: string
}

/** The guard of removals, the same for all volumes of a call. */
export interface RemovalGuard {
  /** The pool whose lock file has the locks of the thin ids. */
  readonly pool: KnownPool
  /** True: the call answers ENXIO if the pool does not run. False: it does not look. */
  readonly looks: boolean
}

/** A volume whose device is removed. */
export interface RemovedVolume {
  readonly address: DeviceAddress
  readonly thinId: number
}

/** Space that must be free before a snapshot is made: `percent` of all blocks, and no more than the limits. */
export interface ReserveRequest {
  readonly percent: number
  readonly dataBlocks: number
  readonly metadataBlocks: number
}

export interface SnapshotRequest {
  readonly pool: KnownPool
  /** As in `ActivationGuard`. */
  readonly ownPrefix: string
  readonly originUuid: string
  readonly originId: number
  readonly ids: readonly number[]
  /** As in `targetMessage`. */
  readonly committed: boolean
  /** True if nobody writes the origin. The call neither looks for its device nor suspends it. Default false. */
  readonly unwritten?: boolean | undefined
  /** The space without which the call rejects with `DM_POOL_RESERVE` and makes no snapshot. Default: no reserve. */
  readonly reserve?: ReserveRequest | undefined
}

export interface SnapshotItem {
  readonly id: number
  /** 0, or the errno with which the snapshot failed. */
  readonly errno: number
  /** The failed operation: the message, or the `commit` after it. */
  readonly operation: NativeOperation | ''
}

export interface SnapshotOutcome {
  readonly items: readonly SnapshotItem[]
  /** True if an active origin was suspended during the call. */
  readonly suspended: boolean
}

/** The move of a device from its thin to a new snapshot. */
export interface MoveRequest {
  readonly pool: KnownPool
  /** The device. It keeps its name, its uuid and its number. */
  readonly device: DeviceAddress
  /** The thin id in the uuid of the device, which is locked during the call. */
  readonly lockedId: number
  /** The thin id of which the snapshot is made. */
  readonly originId: number
  /** The thin id of the snapshot. */
  readonly id: number
  /** The table of the snapshot. */
  readonly table: readonly TargetLine[]
}

export interface CreateThinRequest {
  readonly pool: KnownPool
  readonly id: number
  /** The thin id of which it is a snapshot. Default: none, it is empty. */
  readonly originId?: number
  /** As in `targetMessage`. */
  readonly committed: boolean
}

export interface BatchOptions {
  /** Called with the number of finished items, after each; it must not throw. */
  readonly onDone?: ((done: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** The outcome for one device of a batch: its number, or the error. */
export type Outcome = number | DmThinError

/** The result of `poolStatus`. */
export interface PoolLines {
  readonly table: readonly TargetLine[]
  readonly status: readonly TargetLine[]
  /** The first block of the metadata on disk; undefined if it cannot be read. */
  readonly superblock: Uint8Array | undefined
}

/** A device of a volume, as the inventory of its pool lists it. */
export interface ListedThin extends ActiveThin {
  /** As `DeviceInfo.flags`. */
  readonly flags: number
  readonly openCount: number
  /** The line of its live table; undefined if it has none yet. */
  readonly line: TargetLine | undefined
}

/** A pool and its devices, as they are in the kernel. */
export interface Inventory {
  readonly pool: DeviceInfo
  /** The lines of the table; none if the device has no table. */
  readonly table: readonly TargetLine[]
  /** The lines of the status (NOFLUSH). */
  readonly status: readonly TargetLine[]
  /** The devices of volumes, whoever made them, and those of the library that have no table yet. */
  readonly thins: readonly ListedThin[]
}

/** The states of a volume in the result of `statusMany`. `other`: not active here, or an unusual status line. */
export const THIN_STATE = { active: 0, fail: 1, error: 2, other: 3 } as const
/** The count of numbers of each volume in the result of `statusMany`. */
export const STATUS_NUMBERS = 4

export interface PoolPort extends HandlePort {
  /** Returns a pool and all its devices in one native call. ENXIO: no such device. */
  inventory(pool: DeviceAddress, signal?: AbortSignal): Promise<Inventory>
  /**
   * Returns the lines of the table and of the status of a pool, both NOFLUSH, and the first block of its metadata device,
   * in one native call.
   */
  poolStatus(address: DeviceAddress, metadataPath: string, signal?: AbortSignal): Promise<PoolLines>
  /**
   * Returns the status (NOFLUSH) of many volumes in one native call. Their uuids are `prefix` and the id. The result has
   * four numbers for each: the state (THIN_STATE), the length in sectors, the mapped sectors, and the highest mapped
   * sector or -1.
   */
  statusMany(prefix: string, ids: Uint32Array, signal?: AbortSignal): Promise<Float64Array>
  /**
   * Sends messages one after the other, in one native call. Returns 0 or the error for each; replies are not returned.
   */
  targetMessages(
    address: DeviceAddress,
    sector: number,
    messages: readonly string[],
    committed: boolean,
    options: BatchOptions,
  ): Promise<Outcome[]>
  /**
   * Sends create_thin, or create_snap if there is an `originId`, while no other call of the library creates the id. It is
   * committed as with `targetMessage`. The origin is not suspended. EEXIST: the id exists, or another call creates it.
   */
  createThin(request: CreateThinRequest, signal?: AbortSignal): Promise<void>
  /** Commits what a pool has in memory; rejects as `targetMessage` with `committed` does. */
  commit(pool: DeviceAddress, signal?: AbortSignal): Promise<void>
  /** Creates, loads and resumes in one native call. If a step fails, the completed steps are rolled back. */
  activate(request: ActivateRequest & { readonly guard?: ActivationGuard }, signal?: AbortSignal): Promise<DeviceInfo>
  /** Activates many concurrently, in one native call. Rejects only if `signal` is already aborted. */
  activateMany(guard: ActivationGuard, requests: readonly ActivateRequest[], options: BatchOptions): Promise<Outcome[]>
  /**
   * Suspends a volume's device that nobody has open, without flush, and removes it, in one native call: ENXIO if the volume
   * is gone, EBUSY if it is open after `limitMs`. The suspend waits until the pool's worker has left the volume; without it,
   * Linux 7.2 can panic if two volumes are removed at the same time (see native/dm/remove_volume.h).
   */
  deactivate(guard: RemovalGuard, volume: RemovedVolume, limitMs: number, signal?: AbortSignal): Promise<DeviceInfo>
  /** Does `deactivate` for several volumes in one native call. */
  deactivateMany(
    guard: RemovalGuard,
    volumes: readonly RemovedVolume[],
    limitMs: number,
    options: BatchOptions,
  ): Promise<Outcome[]>
  /**
   * Suspends the origin, sends create_snap for each id and resumes it, in one native call, which resumes it in every
   * case.
   */
  snapshot(request: SnapshotRequest, signal?: AbortSignal): Promise<SnapshotOutcome>
  /**
   * Does `snapshot` of one id and `activate` of it in one native call. `activated` is left out if there is no snapshot. If
   * the activation was refused, the snapshot stays.
   */
  snapshotActive(
    request: SnapshotRequest,
    activation: ActivateRequest & { readonly guard: ActivationGuard },
    signal?: AbortSignal,
  ): Promise<SnapshotOutcome & { readonly activated?: Outcome }>
  /**
   * Suspends a device without a wait for its I/O, creates a snapshot, replaces the table of the device by that of the
   * snapshot and resumes the device, in one native call. If a step fails, the device keeps its table, and the snapshot is
   * deleted again. If the commit failed (operation `commit`), the device has the new table.
   */
  moveToSnapshot(request: MoveRequest, signal?: AbortSignal): Promise<void>
  activeThins(pool: number, signal?: AbortSignal): Promise<ActiveThin[]>
  foreignThins(pool: number, ownPrefix: string, signal?: AbortSignal): Promise<ActiveThin[]>
  /**
   * Takes the exclusive side of a lock, whose shared side `activate` and `snapshot` take. `key`: a pool's name, or the
   * key of a device or file below pools. Waits in the order of requests. Ends with `release`, and with the process.
   */
  lockPool(key: string, signal?: AbortSignal): Promise<Handle>
  /** Takes the same lock without waiting. Returns undefined if it is held, or another call waits for it. */
  tryLockPool(key: string): Promise<Handle | undefined>
  /**
   * Takes the shared side of the lock of a thin id, whose exclusive side a call holds while it suspends or removes the
   * volume. Waits. Ends as `lockPool`.
   */
  lockThin(pool: string, thinId: number, signal?: AbortSignal): Promise<Handle>
}
