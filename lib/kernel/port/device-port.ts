// Mapped devices: the commands of the device mapper.
import type { UdevOptions } from './udev-port.js'

/**
 * The address of a device, exactly one of the three; the kernel rejects two (drivers/md/dm-ioctl.c
 * __find_device_hash_cell).
 */
export type DeviceAddress =
  | { readonly name: string }
  /** `label`: the name of the device in errors, instead of its uuid or number. */
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
  /** The number of events, modulo 2^32; undefined on kernels whose list does not have it (before 4.37). */
  readonly eventNumber?: number
}

/** One line of a table, or of its status. */
export interface TargetLine {
  /** The start of the segment in the mapped device, in sectors of 512 bytes. */
  readonly startSectors: number
  /** The length of the segment in sectors of 512 bytes. */
  readonly lengthSectors: number
  /** The kernel's name of the target: `linear`, `thin` … */
  readonly type: string
  /** The arguments of the target, or the words of its status, as the kernel prints them. */
  readonly parameters: string
}

/** A device, and the lines of its table or of its status, from one command. */
export interface DeviceLines {
  readonly info: DeviceInfo
  readonly targets: readonly TargetLine[]
}

/** The version of a target that the kernel has loaded. */
export interface TargetVersion {
  /** The kernel's name of the target: `linear`, `thin` … */
  readonly name: string
  /** The version of the target: major, minor and patch level, such as `[1, 23, 0]`. */
  readonly version: readonly number[]
}

/**
 * Links in /dev/mapper. If udev runs, these calls do nothing, because it maintains its own links. They access memory
 * only (devtmpfs, sysfs).
 */
export interface MapperLinks {
  /** Creates the link. Throws `DM_NAME_TAKEN` if something else exists under its name. */
  make(name: string, device: number): void
  /** Deletes the link, unless it points to a device of this name. Anything that is not a link of this kind is kept. */
  drop(name: string): void
  /** Returns true if a link of this name points to this very device. */
  leads(name: string, device: number): boolean
}

/** The default time for which the removal of a busy device is retried, in milliseconds. */
export const BUSY_RETRY_MS = 10_000

export interface DevicePort {
  readonly mapperLinks: MapperLinks
  version(signal?: AbortSignal): Promise<readonly number[]>
  listDevices(filter: { name?: string; uuid?: string }, signal?: AbortSignal): Promise<ListedDevice[]>
  listVersions(signal?: AbortSignal): Promise<TargetVersion[]>
  /** Returns one target's version; the kernel loads its module if necessary. */
  targetVersion(type: string, signal?: AbortSignal): Promise<TargetVersion>
  /** Removes all mapped devices of the machine. With REMOVE_FLAG.deferred also those in use, when they are closed. */
  removeAll(flags: number, signal?: AbortSignal): Promise<void>
  /** Creates a device. `wanted`: a device number whose minor is free. */
  create(name: string, uuid: string, signal?: AbortSignal, wanted?: number): Promise<DeviceInfo>
  /**
   * Removes a device. Retries on EBUSY only, for up to `limitMs`. `deferred`: the kernel removes it when it is closed.
   */
  remove(
    address: DeviceAddress,
    limitMs: number,
    signal?: AbortSignal,
    deferred?: boolean,
    udev?: UdevOptions,
  ): Promise<DeviceInfo>
  /** Renames a device. Returns the device under its new name. */
  rename(name: string, to: string, signal?: AbortSignal, udev?: UdevOptions): Promise<DeviceInfo>
  setUuid(name: string, uuid: string, signal?: AbortSignal, udev?: UdevOptions): Promise<DeviceInfo>
  /** Sets the geometry: cylinders, heads, sectors and start, as text. */
  setGeometry(address: DeviceAddress, geometry: string, signal?: AbortSignal): Promise<void>
  suspend(address: DeviceAddress, flags: number, signal?: AbortSignal): Promise<DeviceInfo>
  resume(address: DeviceAddress, signal?: AbortSignal, flags?: number, udev?: UdevOptions): Promise<DeviceInfo>
  deviceStatus(address: DeviceAddress, signal?: AbortSignal, flags?: number): Promise<DeviceInfo>
  /** Waits until the event number differs from `eventNumber`, on a thread of its own. */
  wait(address: DeviceAddress, eventNumber: number, flags: number, signal?: AbortSignal): Promise<DeviceLines>
  /** Loads a table. `flags` are those of LOAD_FLAG. */
  tableLoad(
    address: DeviceAddress,
    table: readonly TargetLine[],
    flags: number,
    signal?: AbortSignal,
  ): Promise<DeviceInfo>
  tableClear(address: DeviceAddress, signal?: AbortSignal): Promise<DeviceInfo>
  tableDeps(address: DeviceAddress, signal?: AbortSignal, flags?: number): Promise<number[]>
  /**
   * Returns the lines of a table or status. `flags` are those of TABLE_FLAG. Without NOFLUSH, the status of a pool
   * commits its metadata.
   */
  tableStatus(address: DeviceAddress, flags: number, signal?: AbortSignal): Promise<TargetLine[]>
  /** Does `tableStatus`, and returns the device with the lines. */
  deviceLines(address: DeviceAddress, flags: number, signal?: AbortSignal): Promise<DeviceLines>
  /**
   * Sends a message. With `committed`, for a pool: rejects in the operation `commit` if the pool accepted the message
   * and neither the kernel's answer nor the pool's status, read in the same native call, proves the commit. EIO: the pool has
   * reverted to its last commit, or has failed. ENOSPC: it is out of metadata space, and only the metadata on disk
   * shows the result.
   */
  targetMessage(
    address: DeviceAddress,
    sector: number,
    message: string,
    signal?: AbortSignal,
    flags?: number,
    committed?: boolean,
  ): Promise<string>
  /** Runs the cheapest ioctl through the whole stack, for measurements of the stack. */
  noop(signal?: AbortSignal): Promise<number>
}

/** Bits of `DeviceInfo.flags` (linux/dm-ioctl.h). */
export const DEVICE_FLAG = {
  readOnly: 0x1,
  suspended: 0x2,
  persistentMinor: 0x8,
  activeTable: 0x20,
  inactiveTable: 0x40,
  /** The call raised a uevent, which udev receives. */
  ueventGenerated: 0x2000,
  /** The kernel removes the device when it is no longer open. */
  deferredRemove: 0x20000,
  /** Suspended by the kernel because its pool is suspended. */
  internalSuspend: 0x40000,
} as const

/** Bits for `tableStatus` and `suspend`. */
export const TABLE_FLAG = { table: 0x10, noflush: 0x800, skipLockfs: 0x400, inactive: 0x1000, ima: 0x80000 } as const
/**
 * Bits for `tableLoad` and `targetMessage`. `secureData`: the kernel wipes its copies of the data that it read (keys).
 */
export const LOAD_FLAG = { readOnly: 0x1, secureData: 0x8000 } as const
export const REMOVE_FLAG = { deferred: 0x20000 } as const
