// The one interface to the kernel: what the layers above may ask for, in the kernel's words. Everything here runs off
// the JavaScript thread and rejects with a DmThinError that carries the kernel's errno.
import type { DmThinError } from '../../base/errors.js'
import type { BlockPort, FileSystemPort } from './block-port.js'
import type { Handle } from './handle.js'
import type { MapperLinks } from '../mapper-links.js'
import type { NativeOperation } from './operations.js'
import type { TreePort } from './tree-port.js'

/** Exactly one of the three; the kernel refuses two (drivers/md/dm-ioctl.c __find_device_hash_cell). */
export type DeviceAddress =
  | { readonly name: string }
  /** `label`: what errors call the device, in place of its uuid or number. */
  | { readonly uuid: string; readonly label?: string }
  /** `dm_ioctl.dev`: major and minor in one number. */
  | { readonly device: number; readonly label?: string }

export interface DeviceInfo {
  readonly name: string
  readonly uuid: string
  readonly device: number
  readonly openCount: number
  readonly targetCount: number
  readonly eventNumber: number
  /** DM_*_FLAG bits; see DEVICE_FLAG. */
  readonly flags: number
}

export interface ListedDevice {
  readonly name: string
  readonly uuid: string
  readonly device: number
  /** How many events the device has had, modulo 2^32; undefined on kernels whose list does not say (before 4.37). */
  readonly eventNumber?: number
}

/** One line of a table, or of its status. */
export interface TargetLine {
  readonly startSectors: number
  readonly lengthSectors: number
  readonly type: string
  readonly parameters: string
}

/** What DM_DEV_WAIT tells: the device as it is after the event, and the lines of its table. */
export interface WaitResult {
  readonly info: DeviceInfo
  readonly targets: readonly TargetLine[]
}

export interface TargetVersion {
  readonly name: string
  readonly version: readonly number[]
}

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

export interface LoopRequest {
  readonly file: string
  /** Left out: one that is free. */
  readonly number?: number
  /** `lo_file_name`; empty or left out: the file's path. */
  readonly reference?: string
  readonly readOnly?: boolean
  readonly directIo?: boolean
  readonly autoclear?: boolean
  readonly partitionScan?: boolean
  readonly offsetBytes?: number
  readonly sizeLimitBytes?: number
  readonly blockSizeBytes?: number
}

export interface LoopStatus {
  readonly number: number
  readonly file: string
  readonly backingDevice: number
  readonly backingInode: bigint
  readonly offsetBytes: number
  readonly sizeLimitBytes: number
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly autoclear: boolean
  readonly directIo: boolean
  /** Whether the kernel looks for partitions on it. */
  readonly partitionScan: boolean
  /** Its logical block size. */
  readonly blockSizeBytes: number
  /** What whoever attached it left in `lo_file_name`. */
  readonly reference: string
}

export interface FileIdentity {
  readonly device: number
  readonly inode: bigint
  readonly sizeBytes: number
  readonly allocatedBytes: number
  readonly regular: boolean
  readonly blockDevice: boolean
  /** Of a block device: its own number. */
  readonly targetDevice: number
}

/** What udev is told of a call. Default: UDEV_NO_PROBING, without a transaction. */
export interface Announcement {
  /** Bits of udev.ts. */
  readonly flags: number
  readonly transaction: Handle | 0
}

export interface BatchOptions {
  /** Told how many are done, after each; it must not throw. */
  readonly onDone?: ((done: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Of one device of a batch: its number, or what went wrong with it. */
export type Outcome = number | DmThinError

export interface KernelPort extends BlockPort, FileSystemPort, TreePort {
  readonly mapperLinks: MapperLinks
  version(signal?: AbortSignal): Promise<readonly number[]>
  listDevices(filter: { name?: string; uuid?: string }, signal?: AbortSignal): Promise<ListedDevice[]>
  listVersions(signal?: AbortSignal): Promise<TargetVersion[]>
  /** Asks for one target's version; the kernel loads its module where it has to. */
  targetVersion(type: string, signal?: AbortSignal): Promise<TargetVersion>
  /** All mapped devices of the machine. With REMOVE_FLAG.deferred those in use too, once they are let go. */
  removeAll(flags: number, signal?: AbortSignal): Promise<void>
  /** `wanted`: a device number to be given, with its minor free. */
  create(name: string, uuid: string, signal?: AbortSignal, wanted?: number): Promise<DeviceInfo>
  /** Retries on EBUSY only, until `limitMs` are over. `deferred`: the kernel removes it when it is let go. */
  remove(
    address: DeviceAddress,
    limitMs: number,
    signal?: AbortSignal,
    deferred?: boolean,
    udev?: Announcement,
  ): Promise<DeviceInfo>
  /** The answer is the device under its new name. */
  rename(name: string, to: string, signal?: AbortSignal, udev?: Announcement): Promise<DeviceInfo>
  setUuid(name: string, uuid: string, signal?: AbortSignal, udev?: Announcement): Promise<DeviceInfo>
  /** `geometry`: cylinders, heads, sectors and start, as text. */
  setGeometry(address: DeviceAddress, geometry: string, signal?: AbortSignal): Promise<void>
  suspend(address: DeviceAddress, flags: number, signal?: AbortSignal): Promise<DeviceInfo>
  resume(address: DeviceAddress, signal?: AbortSignal, flags?: number, udev?: Announcement): Promise<DeviceInfo>
  deviceStatus(address: DeviceAddress, signal?: AbortSignal, flags?: number): Promise<DeviceInfo>
  /** Waits until the event number is another than `eventNumber`, on a thread of its own. */
  wait(address: DeviceAddress, eventNumber: number, flags: number, signal?: AbortSignal): Promise<WaitResult>
  /** `flags` of LOAD_FLAG. */
  tableLoad(
    address: DeviceAddress,
    table: readonly TargetLine[],
    flags: number,
    signal?: AbortSignal,
  ): Promise<DeviceInfo>
  tableClear(address: DeviceAddress, signal?: AbortSignal): Promise<DeviceInfo>
  tableDeps(address: DeviceAddress, signal?: AbortSignal, flags?: number): Promise<number[]>
  /** `flags` of TABLE_FLAG. Without NOFLUSH the status of a pool commits its metadata. */
  tableStatus(address: DeviceAddress, flags: number, signal?: AbortSignal): Promise<TargetLine[]>
  /** The lines of the table and of the status, both NOFLUSH, in one call. */
  tableAndStatus(
    address: DeviceAddress,
    signal?: AbortSignal,
  ): Promise<{ readonly table: readonly TargetLine[]; readonly status: readonly TargetLine[] }>
  /**
   * Status lines (NOFLUSH) of many thins in one hop. Their uuids are `prefix` and the id. One string: per thin a line
   * `ERRNO LENGTH_SECTORS STATUS`, each ended by a newline.
   */
  statusMany(prefix: string, ids: Uint32Array, signal?: AbortSignal): Promise<string>
  /**
   * With `committed`, for a pool: rejects in the operation `commit` where the pool took the message and its status
   * right after it, asked in the same hop, does not prove the commit. EIO: the pool has gone back to its last commit,
   * or has failed. ENOSPC: it is out of metadata space, and only the metadata on disk tells.
   */
  targetMessage(
    address: DeviceAddress,
    sector: number,
    message: string,
    signal?: AbortSignal,
    flags?: number,
    committed?: boolean,
  ): Promise<string>
  /** One after the other, in one hop: 0 for each, or why not. What it answers is not told. */
  targetMessages(
    address: DeviceAddress,
    sector: number,
    messages: readonly string[],
    committed: boolean,
    options: BatchOptions,
  ): Promise<Outcome[]>
  /** Has a pool commit what it has in memory; rejects as `targetMessage` with `committed` does. */
  commit(pool: DeviceAddress, signal?: AbortSignal): Promise<void>

  /** A udev transaction: a semaphore that udev counts down. Gone after `udevWait`, or with `release`. */
  udevBegin(signal?: AbortSignal): Promise<Handle>
  /** Until udev has gone through everything announced. Rejects with DM_UDEV_TIMEOUT after `limitMs`. */
  udevWait(transaction: Handle, limitMs: number, signal?: AbortSignal): Promise<void>
  /** Takes away what dead processes left; gives how many there were. */
  udevSweep(signal?: AbortSignal): Promise<number>

  /** A descriptor for events, of one listener alone. Closed by `release`. */
  openEvents(): Handle
  armEvents(events: Handle, signal?: AbortSignal): Promise<void>
  /** Waits, on a thread of its own, until something has happened since the last `armEvents`. */
  pollEvents(events: Handle, signal?: AbortSignal): Promise<void>
  /** With `poll` waits for news first; then arms, and lists: in one hop. */
  nextList(
    events: Handle,
    filter: { name?: string; uuid?: string },
    poll: boolean,
    signal?: AbortSignal,
  ): Promise<ListedDevice[]>

  /** Create, load and resume in one hop; a failed step undoes the earlier ones. */
  activate(request: ActivateRequest & { readonly guard?: ActivationGuard }, signal?: AbortSignal): Promise<DeviceInfo>
  /** `activate` for many at once, in one hop. Rejects only where `signal` is aborted already. */
  activateMany(guard: ActivationGuard, requests: readonly ActivateRequest[], options: BatchOptions): Promise<Outcome[]>
  /**
   * `remove` in the same hop as a look whether the pool still runs: ENXIO where not, or where the volume is gone. Without
   * `pool` nobody looks.
   */
  deactivate(
    pool: KnownPool | undefined,
    address: DeviceAddress,
    limitMs: number,
    signal?: AbortSignal,
  ): Promise<DeviceInfo>
  /** `deactivate` for many at once, in one hop. */
  deactivateMany(
    pool: KnownPool | undefined,
    addresses: readonly DeviceAddress[],
    limitMs: number,
    options: BatchOptions,
  ): Promise<Outcome[]>
  /** Suspend, create_snap for each id, resume, in one hop; the resume happens whatever fails. */
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

  loopAttach(request: LoopRequest, signal?: AbortSignal): Promise<LoopStatus & { readonly held: Handle }>
  loopList(signal?: AbortSignal): Promise<LoopStatus[]>
  loopStatus(number: number, signal?: AbortSignal): Promise<LoopStatus>
  loopSetCapacity(number: number, signal?: AbortSignal): Promise<LoopStatus>
  loopChangeFile(number: number, file: string, signal?: AbortSignal): Promise<LoopStatus>
  loopSetDirectIo(number: number, directIo: boolean, signal?: AbortSignal): Promise<LoopStatus>
  /** Asks once: whether it is detached already, or will be when its last user closes it. */
  loopDetachAtLastClose(number: number, signal?: AbortSignal): Promise<boolean>
  loopDetach(number: number, limitMs: number, signal?: AbortSignal): Promise<void>
  loopHold(number: number, signal?: AbortSignal): Promise<Handle>
  /** An exclusive flock(2) of a block device's node, or of a folder, until `release`. Waits for it. */
  lockNode(path: string, signal?: AbortSignal): Promise<Handle>
  /** Resolves when it is closed, which may wait for what is still to be written to a device. Never rejects. */
  release(handle: Handle): Promise<void>

  /** Undefined where there is none. `DM_RECORD` where it cannot be read. */
  readSmallFile(path: string): Promise<string | undefined>
  /** Old or new content, whenever the machine stops; on disk when it resolves. Its callers exclude each other. */
  replaceSmallFile(path: string, content: string): Promise<void>

  identify(path: string, signal?: AbortSignal): Promise<FileIdentity>
  createSparse(
    path: string,
    sizeBytes: number,
    signal?: AbortSignal,
  ): Promise<FileIdentity & { readonly created: boolean }>
  growFile(path: string, sizeBytes: number, signal?: AbortSignal): Promise<FileIdentity>
  deleteFile(path: string, signal?: AbortSignal): Promise<void>
  blockSizeBytes(path: string, signal?: AbortSignal): Promise<number>
  /** O_DIRECT; blocks past the end read as zeros. `exclusive` refuses a device in use with EBUSY. */
  readBlocks(
    path: string,
    blocks: readonly number[],
    blockBytes: number,
    exclusive: boolean,
    signal?: AbortSignal,
  ): Promise<Uint8Array[]>
  zeroStart(path: string, lengthBytes: number, signal?: AbortSignal): Promise<void>
  /** Resolves when what anybody has written to the open file by now is on its disk. fdatasync(2) of a descriptor. */
  syncFile(file: number, signal?: AbortSignal): Promise<void>
  /** Takes the blocks of a file's holes from its file system. fallocate(2) up to its size. */
  allocateFile(path: string, signal?: AbortSignal): Promise<void>
  /**
   * Resolves when the file system of the open file has everything on its disk. Rejects with what the disk has refused since
   * the file was opened. syncfs(2) of a descriptor.
   */
  syncFileSystem(file: number, signal?: AbortSignal): Promise<void>
  /** CLOCK_REALTIME: nanoseconds since 1970. */
  wallClock(): bigint
  /** The cheapest ioctl there is, through the whole stack: for measuring the stack. */
  noop(signal?: AbortSignal): Promise<number>
}

/** Bits of `DeviceInfo.flags` (linux/dm-ioctl.h). */
export const DEVICE_FLAG = {
  readOnly: 0x1,
  suspended: 0x2,
  persistentMinor: 0x8,
  activeTable: 0x20,
  inactiveTable: 0x40,
  /** The call raised a uevent: udev will hear of it. */
  ueventGenerated: 0x2000,
  /** It will be removed when the last that holds it lets go. */
  deferredRemove: 0x20000,
  /** Suspended by the kernel because its pool is. */
  internalSuspend: 0x40000,
} as const

/** Bits for `tableStatus` and `suspend`. */
export const TABLE_FLAG = { table: 0x10, noflush: 0x800, skipLockfs: 0x400, inactive: 0x1000, ima: 0x80000 } as const
/** Bits for `tableLoad` and `targetMessage`: the kernel wipes its copies of what it read (keys). */
export const LOAD_FLAG = { readOnly: 0x1, secureData: 0x8000 } as const
export const REMOVE_FLAG = { deferred: 0x20000 } as const
