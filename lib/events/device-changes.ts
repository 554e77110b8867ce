// Differences between two device lists. Pure.
import type { ListedDevice } from '../kernel/port/device-port.js'
import { deviceNumber } from '../base/device-number.js'

/** A change of one mapped device, as a `DeviceWatch` delivers it. */
export interface DeviceEvent {
  /**
   * `added` and `removed`; `renamed`: a new name or a first uuid; `event`: the target raised an event (a pool is low on
   * space, a path failed, a mirror is in sync …). A rename raises one too. If a device has neither a uuid nor a table,
   * its rename is reported as `removed` and `added`: the kernel's list does not tell it from another device with the
   * same number.
   */
  readonly type: 'added' | 'removed' | 'renamed' | 'event'
  /** The name of the device: the new one with `renamed`, the last one with `removed`. */
  readonly name: string
  /** The uuid of the device; empty if it has none. */
  readonly uuid: string
  /** `253:4`, the device number. */
  readonly device: string
  /** The kernel's count of the device's events, modulo 2^32. */
  readonly eventNumber: number
  /** With `event`: the number of events since the last report. */
  readonly count?: number
  /** With `renamed`: the previous name. */
  readonly previousName?: string
}

export type Known = ReadonlyMap<number, ListedDevice>

export const known = (list: readonly ListedDevice[]): Known => new Map(list.map(each => [each.device, each]))

/** Returns the changes in a possible order: removed devices, added ones, changed ones. */
export function changesBetween(before: Known, after: Known): DeviceEvent[] {
  const gone: DeviceEvent[] = []
  const come: DeviceEvent[] = []
  const raised: DeviceEvent[] = []
  for (const old of before.values()) {
    const now = after.get(old.device)
    if (!now || !isSame(old, now)) gone.push(eventOf('removed', old))
  }
  for (const now of after.values()) {
    const old = before.get(now.device)
    if (!old || !isSame(old, now)) {
      come.push(eventOf('added', now))
      continue
    }
    if (old.name !== now.name || old.uuid !== now.uuid) {
      come.push({ ...eventOf('renamed', now), previousName: old.name })
    }
    const count = numberOf(now) - numberOf(old)
    if (count !== 0) raised.push({ ...eventOf('event', now), count: count >>> 0 })
  }
  return [...gone, ...come, ...raised]
}

const numberOf = ({ eventNumber = 0 }: ListedDevice): number => eventNumber

const eventOf = (type: DeviceEvent['type'], device: ListedDevice): DeviceEvent => ({
  type,
  name: device.name,
  uuid: device.uuid,
  device: deviceNumber(device.device),
  eventNumber: numberOf(device),
})

/**
 * Returns true if both are the same device. A device number is reused after its device is gone. A uuid never changes,
 * and the event count never decreases. The kernel raises an event of a device that gets a name or a uuid, if the device
 * has a table (`dm_hash_rename` in dm-ioctl.c).
 */
function isSame(old: ListedDevice, now: ListedDevice): boolean {
  if (old.uuid !== now.uuid && old.uuid !== '') return false
  const count = (numberOf(now) - numberOf(old)) >>> 0
  const mustHaveEvent = old.uuid === '' && (old.name !== now.name || now.uuid !== '')
  return count < 2 ** 31 && (count > 0 || !mustHaveEvent)
}
