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
  string | { readonly name: string } | { readonly uuid: string } | { readonly device: string | number }

/** The option of calls that raise a uevent. */
export interface WithUdev extends SignalOption {
  /** The transaction that the call's uevent belongs to. Default: none, and udev does not probe the device. */
  readonly udev?: UdevTransaction
}

/** Options of `DeviceMapper.listDevices`. */
export interface ListFilter extends SignalOption {
  /**
   * Lists only devices whose name begins with this. The kernel filters since 5.13; lists of older kernels are filtered
   * here.
   */
  readonly namePrefix?: string
  readonly uuidPrefix?: string
}

/** A mapped device in the list of the kernel. */
export interface ListEntry {
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

/** Options of `DeviceMapper.suspend` and `DeviceMapper.resume`. */
export interface SuspendOptions extends SignalOption {
  /** Keeps queued I/O queued instead of completing it first. Default false. */
  readonly noflush?: boolean
  /** Does not freeze a mounted file system first. Default false. */
  readonly skipLockfs?: boolean
}

/** The state of a device after the event that `DeviceMapper.wait` waited for. */
export interface DeviceEventResult {
  readonly info: MappedDeviceInfo
  /** The status lines of its table, after the event. */
  readonly targets: readonly TargetLine[]
}

/** A waiter for events of all mapped devices, on one file descriptor. */
export interface EventPoll {
  /** Arms the event poll. To miss no event: arm, list, and wait, in this order. */
  arm(options?: SignalOption): Promise<void>
  /** Waits until any mapped device has changed since `arm`. Runs on a thread of its own and can be aborted. */
  wait(options?: SignalOption): Promise<void>
  /** Closes the file descriptor. */
  close(): void
}
