// The kernel's information about a mapped device, with its flags decoded.
import { DEVICE_FLAG, type DeviceInfo } from '../kernel/port/device-port.js'
import { deviceMinor, deviceNumber } from '../base/device-number.js'

/** The state of a mapped device. */
export interface MappedDeviceInfo {
  /** The name, as the kernel stores it: 1 to 127 bytes without a `/`. */
  readonly name: string
  /** The uuid; empty if there is none. */
  readonly uuid: string
  /** `253:4`, the device number. */
  readonly device: string
  /** `/dev/dm-4`. The node exists since the first table was loaded, with udev and without. */
  readonly path: string
  /** The number of users that have it open: processes, mounts, and devices stacked on it. */
  readonly openCount: number
  /** The number of targets in the table that was queried. */
  readonly targetCount: number
  /** The number of events, modulo 2^32. */
  readonly eventNumber: number
  /** True if the device accepts no writes. */
  readonly readOnly: boolean
  /** True if the device is suspended: its I/O waits for `resume`. */
  readonly suspended: boolean
  /** True if the kernel suspended it, as it does with the volumes of a suspended pool. */
  readonly internalSuspend: boolean
  /** True if the device has a live table, which maps its I/O. */
  readonly liveTable: boolean
  /** True if a table is loaded that is not live yet. */
  readonly inactiveTable: boolean
  /** True if the kernel will remove it when it is no longer open. */
  readonly deferredRemove: boolean
  /** True if the call raised a uevent. */
  readonly ueventGenerated: boolean
}

/** Decodes the flags. The kernel returns the flags of the request too; only those about the device are read. */
export function decodeInfo(info: DeviceInfo): MappedDeviceInfo {
  const has = (flag: number) => (info.flags & flag) !== 0
  return {
    name: info.name,
    uuid: info.uuid,
    device: deviceNumber(info.device),
    path: `/dev/dm-${deviceMinor(info.device)}`,
    openCount: info.openCount,
    targetCount: info.targetCount,
    eventNumber: info.eventNumber,
    readOnly: has(DEVICE_FLAG.readOnly),
    suspended: has(DEVICE_FLAG.suspended),
    internalSuspend: has(DEVICE_FLAG.internalSuspend),
    liveTable: has(DEVICE_FLAG.activeTable),
    inactiveTable: has(DEVICE_FLAG.inactiveTable),
    deferredRemove: has(DEVICE_FLAG.deferredRemove),
    ueventGenerated: has(DEVICE_FLAG.ueventGenerated),
  }
}
