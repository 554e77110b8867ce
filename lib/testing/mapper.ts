// The device mapper in memory: names, lookups, tables, suspend and resume. Its rules are those of drivers/md/dm-ioctl.c and
// dm.c.
import { ERRNO } from '../base/errors.js'
import {
  DEVICE_FLAG,
  LOAD_FLAG,
  REMOVE_FLAG,
  TABLE_FLAG,
  type DeviceAddress,
  type DeviceInfo,
  type ListedDevice,
  type TargetLine,
} from '../kernel/port/device-port.js'
import { deviceMinor, parseDeviceNumber } from '../base/device-number.js'
import type { PoolTable } from '../target/thin-pool.js'
import type { BlockDevice } from './block-device.js'
import type { Changes } from './changes.js'
import type { Faults } from './faults.js'
import { MappedDevice, type Table } from './mapped-device.js'
import type { MemoryPool } from './memory-pool.js'
import { Refusal, TableRefusal } from './refusal.js'
import { RunningPools } from './running-pools.js'
import { makeTable } from './table-maker.js'

const ENAMETOOLONG = 36
const MAX_NAME_BYTES = 127
const MAX_UUID_BYTES = 128

/** The device mapper of a memory kernel. */
export class Mapper {
  readonly #devices = new Map<number, MappedDevice>()
  readonly #pools: RunningPools
  readonly #faults: Faults
  readonly #changes: Changes
  /** Returns a device that is not a mapped device, by number or path, or an errno. */
  readonly #below: (text: string) => BlockDevice | number
  /** The number of events of all devices, which the poll descriptor reports. */
  events = 0

  constructor(faults: Faults, changes: Changes, below: (text: string) => BlockDevice | number) {
    this.#faults = faults
    this.#changes = changes
    this.#pools = new RunningPools(owner => this.#raise(owner))
    this.#below = below
  }

  get devices(): readonly MappedDevice[] {
    return [...this.#devices.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  poolOf(device: MappedDevice): MemoryPool | undefined {
    return this.#pools.on(device)
  }

  /** Writes the metadata of all pools to their devices. This is done only before the metadata is read. */
  sync(): void {
    this.#pools.sync()
  }

  lookup(operation: Operation, address: DeviceAddress, detail = ''): MappedDevice {
    const device = described(address)
    this.#faults.pass(operation, { device, detail })
    const found = this.find(address)
    if (!found) throw new Refusal(operation, ERRNO.ENXIO, { device, detail })
    return found
  }

  find(address: DeviceAddress): MappedDevice | undefined {
    if ('device' in address) return this.devices.find(each => each.number === address.device)
    if ('uuid' in address) return this.devices.find(each => each.uuid === address.uuid && address.uuid !== '')
    return this.devices.find(each => each.name === address.name)
  }

  list({ name = '', uuid = '' }: { name?: string; uuid?: string }): ListedDevice[] {
    this.#faults.pass('DM_LIST_DEVICES')
    return this.devices
      .filter(each => each.name.startsWith(name) && each.uuid.startsWith(uuid))
      .map(each => each.listed)
  }

  create(name: string, uuid: string, wanted?: number): DeviceInfo {
    const refuse = (errno: number) => new Refusal('DM_DEV_CREATE', errno, { device: name })
    this.#faults.pass('DM_DEV_CREATE', { device: name })
    if (Buffer.byteLength(name) > MAX_NAME_BYTES || Buffer.byteLength(uuid) > MAX_UUID_BYTES) {
      throw refuse(ENAMETOOLONG)
    }
    if (!isName(name)) throw refuse(ERRNO.EINVAL)
    let minor = 0
    while (this.#devices.has(minor)) minor += 1
    if (wanted !== undefined) minor = deviceMinor(wanted)
    // The kernel creates the device before it checks the name.
    if (this.#devices.has(minor)) throw refuse(ERRNO.ENXIO)
    const taken = this.devices.some(each => each.name === name || (uuid !== '' && each.uuid === uuid))
    if (taken) throw refuse(ERRNO.EBUSY)
    const device = new MappedDevice(name, uuid, minor, closed => this.#lastClosed(closed))
    this.#devices.set(minor, device)
    this.#happened()
    return device.info()
  }

  remove(address: DeviceAddress, deferred = false): DeviceInfo {
    const device = this.lookup('DM_DEV_REMOVE', address)
    if (device.openers.length > 0) {
      if (!deferred) throw new Refusal('DM_DEV_REMOVE', ERRNO.EBUSY, { device: described(address) })
      device.deferredRemove = true
      return device.info()
    }
    this.#drop(device)
    return device.info({ uevent: true })
  }

  removeAll(flags: number): void {
    this.#faults.pass('DM_REMOVE_ALL')
    for (let left = true; left;) {
      const free = this.devices.filter(each => each.openers.length === 0)
      for (const each of free) this.#drop(each)
      left = free.length > 0
    }
    if ((flags & REMOVE_FLAG.deferred) !== 0) for (const each of this.devices) each.deferredRemove = true
  }

  rename(name: string, change: { readonly to: string } | { readonly uuid: string }): DeviceInfo {
    const refuse = (errno: number) => new Refusal('DM_DEV_RENAME', errno, { device: name })
    this.#faults.pass('DM_DEV_RENAME', { device: name })
    if ('to' in change && !isName(change.to)) throw refuse(ERRNO.EINVAL)
    if (this.find('to' in change ? { name: change.to } : { uuid: change.uuid })) throw refuse(ERRNO.EBUSY)
    const device = this.find({ name })
    if (!device) throw refuse(ERRNO.ENXIO)
    if ('to' in change) device.name = change.to
    else if (device.uuid !== '') throw refuse(ERRNO.EINVAL)
    else device.uuid = change.uuid
    if (device.live) this.#raise(device)
    this.#happened()
    return device.info()
  }

  load(address: DeviceAddress, lines: readonly TargetLine[], flags: number): DeviceInfo {
    const device = this.lookup('DM_TABLE_LOAD', address)
    const refuse = (errno: number, kernelReason = '') =>
      new Refusal('DM_TABLE_LOAD', errno, { device: described(address), kernelReason })
    const around = {
      open: (text: string) => this.#open(text),
      takePool: (metadata: BlockDevice, data: BlockDevice, table: PoolTable) =>
        this.#pools.take(device, metadata, data, table),
      joinPool: (below: BlockDevice) => this.#pools.join(below),
      releasePool: (pool: MemoryPool) => this.#pools.release(pool),
    }
    let table
    try {
      table = makeTable(device, lines, (flags & LOAD_FLAG.readOnly) !== 0, around)
    } catch (fault) {
      throw fault instanceof TableRefusal ? refuse(fault.errno, fault.reason) : fault
    }
    const immutable = device.live?.targets[0]?.line.type === 'thin-pool'
    if (immutable && !['thin-pool', 'error'].includes(lines[0]!.type)) {
      table.destroy()
      throw refuse(ERRNO.EINVAL, "can't replace immutable target type thin-pool")
    }
    if (!device.hasNode && !fits(table)) {
      table.destroy()
      throw refuse(ERRNO.EINVAL, TOO_SMALL)
    }
    device.inactive?.destroy()
    device.inactive = table
    device.hasNode = true
    return device.info()
  }

  clear(address: DeviceAddress): DeviceInfo {
    const device = this.lookup('DM_TABLE_CLEAR', address)
    device.inactive?.destroy()
    device.inactive = undefined
    return device.info()
  }

  suspend(address: DeviceAddress): DeviceInfo {
    const device = this.lookup('DM_DEV_SUSPEND', address)
    this.#suspend(device)
    return device.info()
  }

  resume(address: DeviceAddress): DeviceInfo {
    const device = this.lookup('DM_DEV_RESUME', address)
    const refuse = (errno: number) => new Refusal('DM_DEV_RESUME', errno, { device: described(address) })
    const swapped = device.inactive
    if (swapped) {
      this.sync() // after the swap, the device below a pool may be another one
      this.#suspend(device)
      if (!fits(swapped)) {
        device.inactive = undefined
        swapped.destroy()
        throw refuse(ERRNO.EINVAL)
      }
      device.live?.destroy()
      device.live = swapped
      device.inactive = undefined
      device.readOnly = swapped.readOnly
    }
    if (!device.suspended) return device.info()
    if (!device.live) throw refuse(ERRNO.EINVAL)
    for (const target of device.live.targets) {
      const errno = target.preresume?.() ?? 0
      if (errno !== 0) throw refuse(errno)
    }
    device.suspended = false
    const pool = this.poolOf(device)
    pool?.resumed()
    for (const thin of this.#thinsOf(pool)) thin.internalSuspend = false
    this.#changes.announce()
    return device.info({ uevent: true })
  }

  status(address: DeviceAddress, flags = 0): DeviceInfo {
    return this.lookup('DM_DEV_STATUS', address).info({ inactive: (flags & TABLE_FLAG.inactive) !== 0 })
  }

  tableStatus(address: DeviceAddress, flags: number): TargetLine[] {
    return this.linesOf(this.lookup('DM_TABLE_STATUS', address), flags)
  }

  linesOf(device: MappedDevice, flags: number): TargetLine[] {
    const inactive = (flags & TABLE_FLAG.inactive) !== 0
    if ((flags & TABLE_FLAG.ima) !== 0) return device.lines(inactive, () => '')
    if ((flags & TABLE_FLAG.table) !== 0) return device.lines(inactive, target => target.table())
    return device.lines(inactive, target => target.status())
  }

  deps(address: DeviceAddress, flags = 0): number[] {
    const device = this.lookup('DM_TABLE_DEPS', address)
    const table = (flags & TABLE_FLAG.inactive) !== 0 ? device.inactive : device.live
    return (table?.below ?? []).map(each => each.number).reverse()
  }

  message(address: DeviceAddress, sector: number, text: string): string {
    const device = this.lookup('DM_TARGET_MSG', address, text)
    const refuse = (errno: number) => new Refusal('DM_TARGET_MSG', errno, { device: described(address), detail: text })
    const words = text.split(/\s+/).filter(word => word !== '')
    if (words.length === 0) throw refuse(ERRNO.EINVAL)
    if (words[0]!.toLowerCase() === '@cancel_deferred_remove') {
      if (words.length > 1) throw refuse(ERRNO.EINVAL)
      device.deferredRemove = false
      return ''
    }
    const target = device.live?.targets.find(
      ({ line }) => sector >= line.startSectors && sector < line.startSectors + line.lengthSectors,
    )
    const errno = target?.message?.(words) ?? ERRNO.EINVAL
    if (errno !== 0) throw refuse(errno)
    this.#changes.announce()
    return ''
  }

  /** Returns the devices that have a thin of this pool in their live table. */
  thinsOn(pool: number): { readonly device: MappedDevice; readonly id: number }[] {
    return this.devices.flatMap(device => {
      const target = device.live?.targets.find(each => each.thinId !== undefined)
      const lies = target && device.live!.below.some(below => below.number === pool)
      return lies ? [{ device, id: target.thinId! }] : []
    })
  }

  /** Raises an event of a device, as its target would. */
  raise(device: MappedDevice): void {
    this.#raise(device)
  }

  #raise(device: MappedDevice): void {
    device.eventNumber = (device.eventNumber + 1) >>> 0
    this.#happened()
  }

  #happened(): void {
    this.events += 1
    this.#changes.announce()
  }

  #suspend(device: MappedDevice): void {
    if (device.suspended) return
    device.suspended = true
    const pool = this.poolOf(device)
    if (!pool) return
    pool.suspended = true
    for (const thin of this.#thinsOf(pool)) thin.internalSuspend = true
  }

  #thinsOf(pool: MemoryPool | undefined): MappedDevice[] {
    const has = (table: MappedDevice['live']) =>
      table?.targets.some(target => target.thinId !== undefined && target.pool === pool) === true
    return pool ? this.devices.filter(device => has(device.live) || has(device.inactive)) : []
  }

  #drop(device: MappedDevice): void {
    if (device.live) device.eventNumber += 1 // wakes calls that wait for an event
    this.#devices.delete(device.minor)
    device.inactive?.destroy()
    device.live?.destroy()
    device.inactive = device.live = undefined
    this.#happened()
  }

  #lastClosed(device: MappedDevice): void {
    if (device.deferredRemove && this.#devices.get(device.minor) === device) this.#drop(device)
    this.#changes.announce()
  }

  #open(text: string): BlockDevice {
    const number = parseDeviceNumber(text)
    const mapped = this.devices.find(each => each.number === number || (each.hasNode && each.path === text))
    const found = mapped ?? this.#below(text)
    if (typeof found === 'number') throw new TableRefusal(found, '')
    return found
  }
}

const TOO_SMALL = 'a device is too small for target'

/** Checks the sizes of the devices below, as the kernel does at the first load of a device, and later at the resume. */
const fits = (table: Table): boolean => table.targets.every(target => target.fits?.() !== false)

type Operation = Parameters<Faults['pass']>[0]

export const described = (address: DeviceAddress): string =>
  'name' in address ? address.name : (address.label ?? ('uuid' in address ? address.uuid : String(address.device)))

/** Returns whether the device is suspended. */
export const isSuspended = (info: DeviceInfo): boolean => (info.flags & DEVICE_FLAG.suspended) !== 0

/** Checks a name, as dm-ioctl.c check_name does. */
const isName = (name: string): boolean => name !== '' && !name.includes('/') && !['.', '..', 'control'].includes(name)
