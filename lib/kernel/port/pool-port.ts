// Thin pools and thins: what takes several commands of the device mapper, in one call.
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
  /** Of a volume: what its guard is asked about. */
  readonly thinId?: number
}

/** What stands before activations, looked at once for each call. */
export interface ActivationGuard {
  /** Its lock is held shared until the devices are up. Refused is a `thinId` that a device without `ownPrefix` has active. */
  readonly pool: KnownPool
  /** Empty: every device is taken for an own one, and none is looked at. */
  readonly ownPrefix: string
}

/**
 * A pool as it was when it was opened. It is the same one while its device number has its uuid or, where it has none, its
 * name. It is addressed by its uuid, or by the number where it has none.
 */
export interface KnownPool {
  readonly device: number
  readonly name: string
  readonly uuid: string
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
}

export interface SnapshotItem {
  readonly id: number
  /** 0, or why there is no such snapshot. */
  readonly errno: number
  /** What failed: the message, or the `commit` after it. */
  readonly operation: NativeOperation | ''
}

export interface SnapshotOutcome {
  readonly items: readonly SnapshotItem[]
  /** Whether an active origin was suspended meanwhile. */
  readonly suspended: boolean
}

export interface BatchOptions {
  /** Told how many are done, after each; it must not throw. */
  readonly onDone?: ((done: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Of one device of a batch: its number, or what went wrong with it. */
export type Outcome = number | DmThinError

export interface PoolPort extends HandlePort {
  /**
   * Status lines (NOFLUSH) of many thins in one native call. Their uuids are `prefix` and the id. One string: per thin a line
   * `ERRNO LENGTH_SECTORS STATUS`, each ended by a newline.
   */
  statusMany(prefix: string, ids: Uint32Array, signal?: AbortSignal): Promise<string>
  /** One after the other, in one native call: 0 for each, or why not. What it answers is not told. */
  targetMessages(
    address: DeviceAddress,
    sector: number,
    messages: readonly string[],
    committed: boolean,
    options: BatchOptions,
  ): Promise<Outcome[]>
  /** Has a pool commit what it has in memory; rejects as `targetMessage` with `committed` does. */
  commit(pool: DeviceAddress, signal?: AbortSignal): Promise<void>
  /** Create, load and resume in one native call; a failed step undoes the earlier ones. */
  activate(request: ActivateRequest & { readonly guard?: ActivationGuard }, signal?: AbortSignal): Promise<DeviceInfo>
  /** `activate` for many at once, in one native call. Rejects only where `signal` is aborted already. */
  activateMany(guard: ActivationGuard, requests: readonly ActivateRequest[], options: BatchOptions): Promise<Outcome[]>
  /**
   * `remove` in the same native call as a look whether the pool still runs: ENXIO if it does not, or if the volume is gone.
   * Without `pool` nobody looks.
   */
  deactivate(
    pool: KnownPool | undefined,
    address: DeviceAddress,
    limitMs: number,
    signal?: AbortSignal,
  ): Promise<DeviceInfo>
  /** `deactivate` for many at once, in one native call. */
  deactivateMany(
    pool: KnownPool | undefined,
    addresses: readonly DeviceAddress[],
    limitMs: number,
    options: BatchOptions,
  ): Promise<Outcome[]>
  /** Suspend, create_snap for each id, resume, in one native call; the resume happens whatever fails. */
  snapshot(request: SnapshotRequest, signal?: AbortSignal): Promise<SnapshotOutcome>
  /**
   * `snapshot` of one id and `activate` of it, in one call. `activated` is left out if there is no snapshot; if the
   * activation was refused, the snapshot stays.
   */
  snapshotActive(
    request: SnapshotRequest,
    activation: ActivateRequest & { readonly guard: ActivationGuard },
    signal?: AbortSignal,
  ): Promise<SnapshotOutcome & { readonly activated?: Outcome }>
  activeThins(pool: number, signal?: AbortSignal): Promise<ActiveThin[]>
  foreignThins(pool: number, ownPrefix: string, signal?: AbortSignal): Promise<ActiveThin[]>
  /**
   * The exclusive side of a lock, whose shared side `activate` and `snapshot` hold. `key`: a pool's name, or what names a
   * device or file below pools. Waits in the order of asking. Ends with `release`, and with the process.
   */
  lockPool(key: string, signal?: AbortSignal): Promise<Handle>
}
