// Mapped devices: the commands of the device mapper.
import type { UdevOptions } from './udev-port.js'

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

/** The version of a target that the kernel has loaded. */
export interface TargetVersion {
  readonly name: string
  readonly version: readonly number[]
}

/** Where udev runs nothing here does anything: the links are its own. All of it is memory (devtmpfs, sysfs). */
export interface MapperLinks {
  /** Refuses with `DM_NAME_TAKEN` where something else has the place. */
  make(name: string, device: number): void
  /** Takes the link away, unless it leads to a device of this name. What is no link of this kind is left. */
  drop(name: string): void
  /** Whether there is a link of this name to this very device. */
  leads(name: string, device: number): boolean
}

export interface DevicePort {
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
    udev?: UdevOptions,
  ): Promise<DeviceInfo>
  /** The answer is the device under its new name. */
  rename(name: string, to: string, signal?: AbortSignal, udev?: UdevOptions): Promise<DeviceInfo>
  setUuid(name: string, uuid: string, signal?: AbortSignal, udev?: UdevOptions): Promise<DeviceInfo>
  /** `geometry`: cylinders, heads, sectors and start, as text. */
  setGeometry(address: DeviceAddress, geometry: string, signal?: AbortSignal): Promise<void>
  suspend(address: DeviceAddress, flags: number, signal?: AbortSignal): Promise<DeviceInfo>
  resume(address: DeviceAddress, signal?: AbortSignal, flags?: number, udev?: UdevOptions): Promise<DeviceInfo>
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
  /** Returns the lines of the table and of the status, both NOFLUSH, in one native call. */
  tableAndStatus(
    address: DeviceAddress,
    signal?: AbortSignal,
  ): Promise<{ readonly table: readonly TargetLine[]; readonly status: readonly TargetLine[] }>
  /**
   * With `committed`, for a pool: rejects in the operation `commit` where the pool took the message and its status
   * right after it, asked in the same native call, does not prove the commit. EIO: the pool has gone back to its last commit,
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
