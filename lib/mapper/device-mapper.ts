// The device mapper as it is: one method for each command of the kernel, in its words, nothing clever.
import { checkKernelName, checkKernelUuid } from '../kernel/kernel-names.js'
import { decodeInfo, type MappedDeviceInfo } from './device-info.js'
import {
  checkBoolean,
  checkOptions,
  checkText,
  type SignalOption,
  checkNumber,
  invalid,
  shown,
} from '../base/options.js'
import { capabilitiesOf, type Capabilities } from './capabilities.js'
import type { KernelOption } from '../kernel/kernel-option.js'
import { portOf } from '../kernel/native-port.js'
import {
  LOAD_FLAG,
  REMOVE_FLAG,
  TABLE_FLAG,
  type DeviceAddress,
  type TargetLine,
  type TargetVersion,
} from '../kernel/port/device-port.js'
import type { KernelPort } from '../kernel/port/kernel-port.js'
import { deviceNumber, parseDeviceNumber } from '../base/device-number.js'
import { layTable, type Segment } from '../kernel/table.js'
import { announcementOf, UDEV_RULE_NAMES, UdevTransaction, type UdevRules } from './udev-transaction.js'

/** A device: its name, or `{ name }`, `{ uuid }` or `{ device: '253:4' }`. The kernel takes exactly one of them. */
export type Address =
  string | { readonly name: string } | { readonly uuid: string } | { readonly device: string | number }

/** Option of the calls that raise a uevent. */
export interface WithUdev extends SignalOption {
  /** The transaction that the call's uevent belongs to. Default: none, and udev is told not to probe. */
  readonly udev?: UdevTransaction
}

/** Options of `DeviceMapper.listDevices`. */
export interface ListFilter extends SignalOption {
  /** Only devices whose name begins so. The kernel filters (since 5.13); older kernels' lists are filtered here. */
  readonly namePrefix?: string
  readonly uuidPrefix?: string
}

/** A mapped device in the list of the kernel. */
export interface ListEntry {
  readonly name: string
  /** Empty where it has none. */
  readonly uuid: string
  /** `253:4` */
  readonly device: string
  /** How many events it has had, modulo 2^32. Undefined before interface 4.37. */
  readonly eventNumber: number | undefined
}

/** Flags of the calls that read a table. */
export interface ReadOptions extends SignalOption {
  /** The table that was loaded and is not live yet, instead of the live one. Default false. */
  readonly inactive?: boolean
}

/** Options of `DeviceMapper.tableStatus`. */
export interface StatusOptions extends ReadOptions {
  /** Without: a target may flush first; a thin pool commits its metadata. Default true. */
  readonly noflush?: boolean
}

/** Options of `DeviceMapper.suspend` and `DeviceMapper.resume`. */
export interface SuspendOptions extends SignalOption {
  /** Queued I/O stays queued instead of being finished first. Default false. */
  readonly noflush?: boolean
  /** A mounted file system is not frozen first. Default false. */
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
  /** Arms the event poll. To miss no event: arm, then list, then wait. */
  arm(options?: SignalOption): Promise<void>
  /** Until something has happened to any mapped device since `arm`. On a thread of its own; abortable. */
  wait(options?: SignalOption): Promise<void>
  /** Closes the file descriptor. */
  close(): void
}

/** The commands of the device mapper, one method for each. */
export class DeviceMapper {
  readonly #port: KernelPort
  /** The running kernel's interface version, as `[4, 48, 0]`. */
  readonly interfaceVersion: readonly number[]

  private constructor(port: KernelPort, version: readonly number[]) {
    this.#port = port
    this.interfaceVersion = version
  }

  /** Asks for the version, and so finds out what is missing: `DM_UNAVAILABLE`, `DM_PERMISSION`. */
  static async open(options: KernelOption & SignalOption = {}): Promise<DeviceMapper> {
    checkOptions(options, ['kernel', 'signal'], 'open')
    const port = portOf(options.kernel)
    return new DeviceMapper(port, await port.version(options.signal))
  }

  /** DM_VERSION */
  async version(options: SignalOption = {}): Promise<readonly number[]> {
    checkOptions(options, ['signal'], 'version')
    return this.#port.version(options.signal)
  }

  /** What this kernel's interface and its targets can do, by their versions. */
  async capabilities(options: SignalOption = {}): Promise<Capabilities> {
    checkOptions(options, ['signal'], 'capabilities')
    return capabilitiesOf(this.interfaceVersion, await this.#port.listVersions(options.signal))
  }

  /**
   * DM_REMOVE_ALL: takes away **every** mapped device of the machine that nobody holds open, whoever made it; hence the
   * option that must be spelled out. `deferred`: those in use follow when they are let go.
   */
  async removeAll(
    options: { readonly everyMappedDeviceOfThisMachine: true; readonly deferred?: boolean } & SignalOption,
  ): Promise<void> {
    checkOptions(options, ['everyMappedDeviceOfThisMachine', 'deferred', 'signal'], 'removeAll')
    if (options.everyMappedDeviceOfThisMachine !== true) {
      throw invalid('removeAll: it removes the devices of everybody; say so with everyMappedDeviceOfThisMachine: true')
    }
    await this.#port.removeAll(checkBoolean('deferred', options.deferred) ? REMOVE_FLAG.deferred : 0, options.signal)
  }

  /** DM_LIST_DEVICES, with uuids and event numbers. */
  async listDevices(options: ListFilter = {}): Promise<ListEntry[]> {
    checkOptions(options, ['namePrefix', 'uuidPrefix', 'signal'], 'listDevices')
    const listed = await this.#port.listDevices(listFilter(options), options.signal)
    return listed.map(({ name, uuid, device, eventNumber }) => ({
      name,
      uuid,
      device: deviceNumber(device),
      eventNumber,
    }))
  }

  /** DM_LIST_VERSIONS: the targets that are loaded. */
  async listVersions(options: SignalOption = {}): Promise<TargetVersion[]> {
    checkOptions(options, ['signal'], 'listVersions')
    return this.#port.listVersions(options.signal)
  }

  /** DM_GET_TARGET_VERSION (4.41): one target's; its module is loaded for it. `DM_UNAVAILABLE` where there is none. */
  async targetVersion(type: string, options: SignalOption = {}): Promise<readonly number[]> {
    checkOptions(options, ['signal'], 'targetVersion')
    const { version } = await this.#port.targetVersion(checkText('type', type), options.signal)
    return version
  }

  /**
   * DM_DEV_CREATE: a device without a table; its node comes with the first table. `minor` asks for a certain one.
   * `DM_NAME_TAKEN` where the name, the uuid or the minor is.
   */
  async create(
    options: { readonly name: string; readonly uuid?: string; readonly minor?: number } & SignalOption,
  ): Promise<MappedDeviceInfo> {
    checkOptions(options, ['name', 'uuid', 'minor', 'signal'], 'create')
    const name = checkKernelName(options.name)
    const uuid = options.uuid === undefined ? '' : checkKernelUuid(options.uuid)
    const wanted = options.minor === undefined ? undefined : minorDevice(options.minor)
    return decodeInfo(await this.#port.create(name, uuid, options.signal, wanted))
  }

  /**
   * DM_DEV_REMOVE. Busy devices are tried again for `timeoutMs` (default 0: once), then `DM_BUSY`. `deferred`: a busy
   * one is removed by the kernel when it is let go; `deferredRemove` of the answer says that it waits for that.
   */
  async remove(
    address: Address,
    options: { readonly deferred?: boolean; readonly timeoutMs?: number } & WithUdev = {},
  ): Promise<MappedDeviceInfo> {
    checkOptions(options, ['deferred', 'timeoutMs', 'udev', 'signal'], 'remove')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? 0, { min: 0 })
    const deferred = checkBoolean('deferred', options.deferred)
    const udev = announcementOf(options.udev)
    return decodeInfo(await this.#port.remove(addressOf(address), limit, options.signal, deferred, udev))
  }

  /** Takes a deferred removal back, by the message `@cancel_deferred_remove`. `DM_NOT_FOUND` where it is too late. */
  async cancelDeferredRemove(address: Address, options: SignalOption = {}): Promise<void> {
    await this.message(address, '@cancel_deferred_remove', options)
  }

  /** DM_DEV_RENAME. By name only: the kernel renames nothing by its uuid. Gives the device under its new name. */
  async rename(name: string, to: string, options: WithUdev = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['udev', 'signal'], 'rename')
    const names = [checkKernelName(name), checkKernelName(to, 'the new name')] as const
    return decodeInfo(await this.#port.rename(...names, options.signal, announcementOf(options.udev)))
  }

  /** DM_DEV_RENAME with DM_UUID_FLAG (4.19): a device without a uuid gets one, once. */
  async setUuid(name: string, uuid: string, options: WithUdev = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['udev', 'signal'], 'setUuid')
    const names = [checkKernelName(name), checkKernelUuid(uuid)] as const
    return decodeInfo(await this.#port.setUuid(...names, options.signal, announcementOf(options.udev)))
  }

  /** DM_DEV_SUSPEND: holds new I/O back, after what is under way has finished. Waits for that. */
  async suspend(address: Address, options: SuspendOptions = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['noflush', 'skipLockfs', 'signal'], 'suspend')
    return decodeInfo(await this.#port.suspend(addressOf(address), suspendFlags(options), options.signal))
  }

  /** DM_DEV_SUSPEND without its flag: makes a loaded table live, and lets I/O through. */
  async resume(address: Address, options: SuspendOptions & WithUdev = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['noflush', 'skipLockfs', 'udev', 'signal'], 'resume')
    const udev = announcementOf(options.udev)
    return decodeInfo(await this.#port.resume(addressOf(address), options.signal, suspendFlags(options), udev))
  }

  /** DM_DEV_STATUS */
  async status(address: Address, options: ReadOptions = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['inactive', 'signal'], 'status')
    return decodeInfo(await this.#port.deviceStatus(addressOf(address), options.signal, inactiveFlag(options)))
  }

  /**
   * DM_DEV_WAIT: until the device's event number is another than `eventNumber` (default: the present one). Blocks a
   * thread of its own for as long as it takes; many devices are better watched by events.
   */
  async wait(
    address: Address,
    options: { readonly eventNumber?: number } & StatusOptions = {},
  ): Promise<DeviceEventResult> {
    checkOptions(options, ['eventNumber', 'inactive', 'noflush', 'signal'], 'wait')
    const where = addressOf(address)
    const seen =
      options.eventNumber === undefined
        ? (await this.#port.deviceStatus(where, options.signal)).eventNumber
        : checkNumber('eventNumber', options.eventNumber, { min: 0, max: 2 ** 32 - 1 })
    const { info, targets } = await this.#port.wait(where, seen, statusFlags(options), options.signal)
    return { info: decodeInfo(info), targets }
  }

  /**
   * A udev transaction: what is done with it is waited for by its `finish()`, for links such as /dev/mapper/NAME. Where
   * there is no udev it is `synchronized: false` and waits for nothing. Takes away what dead processes left.
   */
  async beginUdev(options: UdevRules & SignalOption = {}): Promise<UdevTransaction> {
    checkOptions(options, [...UDEV_RULE_NAMES, 'signal'], 'beginUdev')
    return UdevTransaction.begin(this.#port, options, options.signal)
  }

  /** DM_DEV_ARM_POLL (4.37) and poll(2), on a descriptor of its own. `close` it. */
  openEventPoll(): EventPoll {
    const port = this.#port
    const handle = port.openEvents()
    const closing = new AbortController()
    const signalOf = ({ signal }: SignalOption) => (signal ? AbortSignal.any([signal, closing.signal]) : closing.signal)
    return {
      arm: (options = {}) => port.armEvents(handle, signalOf(options)),
      wait: (options = {}) => port.pollEvents(handle, signalOf(options)),
      close: () => {
        closing.abort()
        void port.release(handle)
      },
    }
  }

  /**
   * DM_TABLE_LOAD: a table for the device, live at the next `resume`. `secureData`: the kernel wipes its copies of the
   * request (keys of crypt); JavaScript's own strings nobody can wipe. `DM_TABLE_REFUSED` with `kernelReason`.
   */
  async tableLoad(
    address: Address,
    table: readonly Segment[],
    options: { readonly readOnly?: boolean; readonly secureData?: boolean } & SignalOption = {},
  ): Promise<MappedDeviceInfo> {
    checkOptions(options, ['readOnly', 'secureData', 'signal'], 'tableLoad')
    const flags =
      (checkBoolean('readOnly', options.readOnly) ? LOAD_FLAG.readOnly : 0) |
      (checkBoolean('secureData', options.secureData) ? LOAD_FLAG.secureData : 0)
    return decodeInfo(await this.#port.tableLoad(addressOf(address), layTable(table), flags, options.signal))
  }

  /** DM_TABLE_CLEAR: drops the table that was loaded and is not live yet. */
  async tableClear(address: Address, options: SignalOption = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['signal'], 'tableClear')
    return decodeInfo(await this.#port.tableClear(addressOf(address), options.signal))
  }

  /** DM_TABLE_DEPS: the devices that the table names, as `7:0`. */
  async tableDeps(address: Address, options: ReadOptions = {}): Promise<string[]> {
    checkOptions(options, ['inactive', 'signal'], 'tableDeps')
    const found = await this.#port.tableDeps(addressOf(address), options.signal, inactiveFlag(options))
    return found.map(deviceNumber)
  }

  /** DM_TABLE_STATUS: the status line of each target. */
  async tableStatus(address: Address, options: StatusOptions = {}): Promise<TargetLine[]> {
    checkOptions(options, ['inactive', 'noflush', 'signal'], 'tableStatus')
    return this.#port.tableStatus(addressOf(address), statusFlags(options), options.signal)
  }

  /** DM_TABLE_STATUS with DM_STATUS_TABLE_FLAG: the table line of each target, as it could be loaded again. */
  async table(address: Address, options: ReadOptions = {}): Promise<TargetLine[]> {
    checkOptions(options, ['inactive', 'signal'], 'table')
    const flags = TABLE_FLAG.table | TABLE_FLAG.noflush | inactiveFlag(options)
    return this.#port.tableStatus(addressOf(address), flags, options.signal)
  }

  /** DM_TABLE_STATUS with DM_IMA_MEASUREMENT_FLAG (5.15): each target as the integrity measurement records it. */
  async imaMeasurement(address: Address, options: ReadOptions = {}): Promise<TargetLine[]> {
    checkOptions(options, ['inactive', 'signal'], 'imaMeasurement')
    const flags = TABLE_FLAG.ima | TABLE_FLAG.noflush | inactiveFlag(options)
    return this.#port.tableStatus(addressOf(address), flags, options.signal)
  }

  /**
   * DM_TARGET_MSG, to the target at `sector` (default 0); what begins with `@` is for the device mapper itself. Gives
   * the reply, or '' where the target has none. It is never sent twice.
   */
  async message(
    address: Address,
    message: string,
    options: { readonly sector?: number; readonly secureData?: boolean } & SignalOption = {},
  ): Promise<string> {
    checkOptions(options, ['sector', 'secureData', 'signal'], 'message')
    const sector = checkNumber('sector', options.sector ?? 0, { min: 0 })
    const flags = checkBoolean('secureData', options.secureData) ? LOAD_FLAG.secureData : 0
    return this.#port.targetMessage(addressOf(address), sector, checkText('message', message), options.signal, flags)
  }

  /** DM_DEV_SET_GEOMETRY (4.6): what programs of another age are told of the disk. */
  async setGeometry(
    address: Address,
    geometry: {
      readonly cylinders: number
      readonly heads: number
      readonly sectors: number
      readonly startSector: number
    },
    options: SignalOption = {},
  ): Promise<void> {
    checkOptions(geometry, ['cylinders', 'heads', 'sectors', 'startSector'], 'setGeometry')
    checkOptions(options, ['signal'], 'setGeometry')
    const numbers = [
      checkNumber('cylinders', geometry.cylinders, { min: 0, max: 65535 }),
      checkNumber('heads', geometry.heads, { min: 0, max: 255 }),
      checkNumber('sectors', geometry.sectors, { min: 0, max: 255 }),
      checkNumber('startSector', geometry.startSector, { min: 0 }),
    ]
    await this.#port.setGeometry(addressOf(address), numbers.join(' '), options.signal)
  }
}

/** What the port is asked by: exactly one of name, uuid and number, checked. */
export function addressOf(address: Address): DeviceAddress {
  if (typeof address === 'string') return { name: checkKernelName(address) }
  const given = Object.keys(address)
  if (given.length !== 1)
    throw invalid(`an address is one of name, uuid and device, but has ${given.join(', ') || 'none'}`)
  if ('name' in address) return { name: checkKernelName(address.name) }
  if ('uuid' in address) return { uuid: checkKernelUuid(address.uuid) }
  if ('device' in address) {
    if (typeof address.device === 'number') return { device: checkNumber('device', address.device, { min: 1 }) }
    const device = parseDeviceNumber(address.device)
    if (device !== undefined) return { device }
    throw invalid(`device must be a number like 253:4, but is ${shown(address.device)}`)
  }
  throw invalid(`an address is one of name, uuid and device, but has ${given.join(', ')}`)
}

export const listFilter = ({ namePrefix, uuidPrefix }: ListFilter): { name: string; uuid: string } => ({
  name: namePrefix === undefined ? '' : checkKernelName(namePrefix, 'namePrefix'),
  uuid: uuidPrefix === undefined ? '' : checkKernelUuid(uuidPrefix, 'uuidPrefix'),
})

const inactiveFlag = ({ inactive }: ReadOptions): number =>
  checkBoolean('inactive', inactive) ? TABLE_FLAG.inactive : 0

const statusFlags = (options: StatusOptions): number => {
  const noflush = options.noflush === undefined || checkBoolean('noflush', options.noflush)
  return (noflush ? TABLE_FLAG.noflush : 0) | inactiveFlag(options)
}

const suspendFlags = ({ noflush, skipLockfs }: SuspendOptions): number =>
  (checkBoolean('noflush', noflush) ? TABLE_FLAG.noflush : 0) |
  (checkBoolean('skipLockfs', skipLockfs) ? TABLE_FLAG.skipLockfs : 0)

/** The kernel looks at the minor alone; 20 bits of it fit (MINORBITS). */
function minorDevice(minor: number): number {
  const checked = checkNumber('minor', minor, { min: 0, max: 2 ** 20 - 1 })
  return (checked & 0xff) | ((checked & ~0xff) << 12)
}
