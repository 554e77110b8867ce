// What the kernel says of a mapped device, with its flags spelled out.
import { DEVICE_FLAG, type DeviceInfo } from '../kernel/port/device-port.js'
import { deviceMinor, deviceNumber } from '../base/device-number.js'

/** The state of a mapped device. */
export interface MappedDeviceInfo {
  readonly name: string
  /** Empty where it has none. */
  readonly uuid: string
  /** `253:4` */
  readonly device: string
  /** `/dev/dm-4`: there since the first table was loaded, with udev and without. */
  readonly path: string
  /** How many have it open: processes, mounts, and devices stacked on it. */
  readonly openCount: number
  /** Of the table that was asked about. */
  readonly targetCount: number
  /** How many events it has had, modulo 2^32. */
  readonly eventNumber: number
  readonly readOnly: boolean
  readonly suspended: boolean
  /** Suspended by the kernel itself, as the thins of a suspended pool are. */
  readonly internalSuspend: boolean
  readonly liveTable: boolean
  /** A table has been loaded that is not live yet. */
  readonly inactiveTable: boolean
  /** Will be removed when the last that holds it lets go. */
  readonly deferredRemove: boolean
  /** The call raised a uevent. */
  readonly ueventGenerated: boolean
}

/** The kernel sends the request's flags back; only those that say something of the device are looked at. */
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
