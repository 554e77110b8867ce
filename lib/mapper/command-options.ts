// Addresses, options and results of the commands of `DeviceMapper`.
import type { SignalOption } from '../base/options.js'
import type { TargetLine } from '../kernel/port/device-port.js'
import type { MappedDeviceInfo } from './device-info.js'
import type { UdevTransaction } from './udev-transaction.js'

/**
 * The address of a device: its name, or `{ name }`, `{ uuid }` or `{ device: '253:4' }`. The kernel accepts exactly one
 * of them.
 */
export type Address =
  | string
  | {
      /** The name of the device, 1 to 127 bytes. */
      readonly name: string
    }
  | {
      /** The uuid of the device, 1 to 128 bytes. */
      readonly uuid: string
    }
  | {
      /** The device number: `253:4`, or major and minor in the kernel's single number (`dev_t`). */
      readonly device: string | number
    }

/** The option of calls that raise a uevent. */
export interface WithUdev extends SignalOption {
  /** The transaction that the call's uevent belongs to. Default: none, and udev does not probe the device. */
  readonly udev?: UdevTransaction
}

/** Options of `DeviceMapper.create`. */
export interface CreateDeviceOptions extends SignalOption {
  /** The name of the device, 1 to 127 bytes without a `/`. */
  readonly name: string
  /** The uuid of the device, 1 to 128 bytes. Default: none; `setUuid` can set it once. */
  readonly uuid?: string
  /** The minor number of the device, 0 to 1 048 575. Default: the lowest free one. */
  readonly minor?: number
}

/** Options of `DeviceMapper.remove`. */
export interface RemoveDeviceOptions extends WithUdev {
  /** Lets the kernel remove a busy device when it is closed. Default false. */
  readonly deferred?: boolean
  /** The time for which a busy device is retried, in milliseconds. Default 0: one attempt. */
  readonly timeoutMs?: number
}

/** Options of `DeviceMapper.removeAll`. */
export interface RemoveAllOptions extends SignalOption {
  /** Confirms that the devices of all programs are removed. Must be true. */
  readonly everyMappedDeviceOfThisMachine: true
  /** Removes devices in use when they are closed. Default false: they are kept. */
  readonly deferred?: boolean
}

/** Options of `DeviceMapper.tableLoad`. */
export interface LoadTableOptions extends SignalOption {
  /** Makes the device read-only with this table. Default false. */
  readonly readOnly?: boolean
  /** Makes the kernel wipe its copies of the request (DM_SECURE_DATA_FLAG). Default false. */
  readonly secureData?: boolean
}

/** Options of `MappedDevice.message`. */
export interface MessageOptions extends SignalOption {
  /** A sector of the mapped device, in the segment of the target that receives the message. Default 0. */
  readonly sector?: number
}

/** Options of `DeviceMapper.message`. */
export interface DeviceMessageOptions extends MessageOptions {
  /** Makes the kernel wipe its copies of the message (DM_SECURE_DATA_FLAG). Default false. */
  readonly secureData?: boolean
}

/** The legacy CHS geometry of a device. */
export interface DeviceGeometry {
  /** The number of cylinders, 0 to 65535. */
  readonly cylinders: number
  /** The number of heads, 0 to 255. */
  readonly heads: number
  /** The number of sectors of a track, 0 to 255. */
  readonly sectors: number
  /** The start of the device on its disk, in sectors of 512 bytes, from 0. */
  readonly startSector: number
}

/** Options of `DeviceMapper.listDevices`. */
export interface ListFilter extends SignalOption {
  /**
   * Lists only devices whose name begins with this. The kernel filters since 5.13; lists of older kernels are filtered
   * here. Default: all.
   */
  readonly namePrefix?: string
  /** Lists only devices whose uuid begins with this. Default: all. */
  readonly uuidPrefix?: string
}

/** A mapped device in the list of the kernel. */
export interface ListEntry {
  /** The name, as the kernel stores it: 1 to 127 bytes without a `/`. */
  readonly name: string
  /** The uuid; empty if there is none. */
  readonly uuid: string
  /** `253:4`, the device number. */
  readonly device: string
  /** The number of events, modulo 2^32. Undefined before interface 4.37. */
  readonly eventNumber: number | undefined
}

/** Flags of the calls that read a table. */
export interface ReadOptions extends SignalOption {
  /** Reads the table that is loaded and not live yet, instead of the live one. Default false. */
  readonly inactive?: boolean
}

/** Options of `DeviceMapper.tableStatus`. */
export interface StatusOptions extends ReadOptions {
  /** Prevents a flush. False: a target may flush first; a thin pool commits its metadata. Default true. */
  readonly noflush?: boolean
}

/** Options of `DeviceMapper.wait`. */
export interface WaitOptions extends StatusOptions {
  /** The event number that the caller knows, 0 to 2^32 - 1. Default: the present one. */
  readonly eventNumber?: number
}

/** Options of `DeviceMapper.suspend` and `DeviceMapper.resume`. */
export interface SuspendOptions extends SignalOption {
  /** Keeps queued I/O queued instead of completing it first. Default false. */
  readonly noflush?: boolean
  /** Does not freeze a mounted file system first. Default false. */
  readonly skipLockfs?: boolean
}

/** The state of a device after the event that `DeviceMapper.wait` waited for. */
export interface DeviceEventResult {
  /** The state of the device after the event. */
  readonly info: MappedDeviceInfo
  /** The status lines of its table, after the event. */
  readonly targets: readonly TargetLine[]
}

/** A waiter for events of all mapped devices, on one file descriptor. */
export interface EventPoll {
  /**
   * Arms the event poll. To miss no event: arm, list, and wait, in this order. Rejects with `DM_UNAVAILABLE` before
   * interface 4.37, and with `ABORT_ERR` after `close`.
   */
  arm(options?: SignalOption): Promise<void>
  /**
   * Waits until any mapped device has changed since `arm`. Runs on a thread of its own and can be aborted. Rejects with
   * `ABORT_ERR`, also if `close` is called.
   */
  wait(options?: SignalOption): Promise<void>
  /** Closes the file descriptor. */
  close(): void
}
