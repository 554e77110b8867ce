// The device mapper: one method per command of the kernel, with the kernel's terms and no further logic.
import { checkKernelName, checkKernelUuid } from '../kernel/kernel-names.js'
import { decodeInfo, type MappedDeviceInfo } from './device-info.js'
import type {
  Address,
  CreateDeviceOptions,
  DeviceEventResult,
  DeviceGeometry,
  DeviceMessageOptions,
  EventPoll,
  ListEntry,
  ListFilter,
  LoadTableOptions,
  ReadOptions,
  RemoveAllOptions,
  RemoveDeviceOptions,
  StatusOptions,
  SuspendOptions,
  WaitOptions,
  WithUdev,
} from './command-options.js'
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
import { buildTable, type Segment } from '../kernel/table.js'
import { announcementOf, UDEV_RULE_NAMES, UdevTransaction, type UdevRules } from './udev-transaction.js'

/**
 * The commands of the device mapper, one method for each. Each of them rejects with `DM_PERMISSION` and
 * `DM_UNAVAILABLE` if the device mapper cannot be used, and with `DM_INVALID_ARGUMENT` for an invalid argument.
 */
export class DeviceMapper {
  readonly #port: KernelPort
  /** The running kernel's interface version, as `[4, 48, 0]`. */
  readonly interfaceVersion: readonly number[]

  private constructor(port: KernelPort, version: readonly number[]) {
    this.#port = port
    this.interfaceVersion = version
  }

  /** Opens the device mapper by querying its version. Rejects with `DM_UNAVAILABLE`, `DM_PERMISSION`. */
  static async open(options: KernelOption & SignalOption = {}): Promise<DeviceMapper> {
    checkOptions(options, ['kernel', 'signal'], 'open')
    const port = portOf(options.kernel)
    return new DeviceMapper(port, await port.version(options.signal))
  }

  /** Returns the interface version (DM_VERSION). Rejects with `DM_UNAVAILABLE` if the kernel has no device mapper. */
  async version(options: SignalOption = {}): Promise<readonly number[]> {
    checkOptions(options, ['signal'], 'version')
    return this.#port.version(options.signal)
  }

  /**
   * Returns the features of this kernel's interface and targets, according to their versions. Rejects as `listVersions`
   * does.
   */
  async capabilities(options: SignalOption = {}): Promise<Capabilities> {
    checkOptions(options, ['signal'], 'capabilities')
    return capabilitiesOf(this.interfaceVersion, await this.#port.listVersions(options.signal))
  }

  /**
   * Removes **every** mapped device of the machine that is not open, whoever created it (DM_REMOVE_ALL). The required
   * option guards against calling it by accident: without it, the call rejects with `DM_INVALID_ARGUMENT`. `deferred`:
   * devices in use are removed when they are closed.
   */
  async removeAll(options: RemoveAllOptions): Promise<void> {
    checkOptions(options, ['everyMappedDeviceOfThisMachine', 'deferred', 'signal'], 'removeAll')
    if (options.everyMappedDeviceOfThisMachine !== true) {
      throw invalid(
        'removeAll: it removes the devices of all programs; confirm that with everyMappedDeviceOfThisMachine: true',
      )
    }
    await this.#port.removeAll(checkBoolean('deferred', options.deferred) ? REMOVE_FLAG.deferred : 0, options.signal)
  }

  /**
   * Lists the mapped devices, with uuids and event numbers (DM_LIST_DEVICES). Rejects with `DM_PERMISSION`,
   * `ABORT_ERR`.
   */
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

  /** Lists the loaded targets (DM_LIST_VERSIONS). Rejects with `DM_PERMISSION`, `ABORT_ERR`. */
  async listVersions(options: SignalOption = {}): Promise<TargetVersion[]> {
    checkOptions(options, ['signal'], 'listVersions')
    return this.#port.listVersions(options.signal)
  }

  /**
   * Returns the version of one target, and loads its module for that (DM_GET_TARGET_VERSION, 4.41). Rejects with
   * `DM_UNAVAILABLE` if there is no such target.
   */
  async targetVersion(type: string, options: SignalOption = {}): Promise<readonly number[]> {
    checkOptions(options, ['signal'], 'targetVersion')
    const { version } = await this.#port.targetVersion(checkText('type', type), options.signal)
    return version
  }

  /**
   * Creates a device without a table (DM_DEV_CREATE). Its node appears with the first table. `minor` requests a certain
   * minor number. Rejects with `DM_NAME_TAKEN` if the name, the uuid or the minor is in use.
   */
  async create(options: CreateDeviceOptions): Promise<MappedDeviceInfo> {
    checkOptions(options, ['name', 'uuid', 'minor', 'signal'], 'create')
    const name = checkKernelName(options.name)
    const uuid = options.uuid === undefined ? '' : checkKernelUuid(options.uuid)
    const wanted = options.minor === undefined ? undefined : minorDevice(options.minor)
    return decodeInfo(await this.#port.create(name, uuid, options.signal, wanted))
  }

  /**
   * Removes a device (DM_DEV_REMOVE). Retries a busy device for `timeoutMs` (default 0: one attempt), after which it
   * rejects with `DM_BUSY`. `deferred`: the kernel removes a busy device when it is closed; `deferredRemove` of the
   * result is true in that case.
   */
  async remove(address: Address, options: RemoveDeviceOptions = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['deferred', 'timeoutMs', 'udev', 'signal'], 'remove')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? 0, { min: 0 })
    const deferred = checkBoolean('deferred', options.deferred)
    const udev = announcementOf(options.udev)
    return decodeInfo(await this.#port.remove(addressOf(address), limit, options.signal, deferred, udev))
  }

  /**
   * Cancels a deferred removal with the message `@cancel_deferred_remove`. Rejects with `DM_NOT_FOUND` if the device is
   * gone.
   */
  async cancelDeferredRemove(address: Address, options: SignalOption = {}): Promise<void> {
    await this.message(address, '@cancel_deferred_remove', options)
  }

  /**
   * Renames a device (DM_DEV_RENAME). The device is addressed by name only, because the kernel does not rename by uuid.
   * Returns the device under its new name. Rejects with `DM_NAME_TAKEN`, `DM_NOT_FOUND`.
   */
  async rename(name: string, to: string, options: WithUdev = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['udev', 'signal'], 'rename')
    const names = [checkKernelName(name), checkKernelName(to, 'the new name')] as const
    return decodeInfo(await this.#port.rename(...names, options.signal, announcementOf(options.udev)))
  }

  /**
   * Sets the uuid of a device that has none, which is possible once (DM_DEV_RENAME with DM_UUID_FLAG, 4.19). Rejects
   * with `DM_NAME_TAKEN` (another device has the uuid), `DM_NOT_FOUND`, `DM_KERNEL` (EINVAL: the device has a uuid).
   */
  async setUuid(name: string, uuid: string, options: WithUdev = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['udev', 'signal'], 'setUuid')
    const names = [checkKernelName(name), checkKernelUuid(uuid)] as const
    return decodeInfo(await this.#port.setUuid(...names, options.signal, announcementOf(options.udev)))
  }

  /**
   * Suspends a device: holds back new I/O and waits until the I/O in progress has completed (DM_DEV_SUSPEND). The wait
   * has no limit: pass a `signal`. Rejects with `DM_NOT_FOUND`, `ABORT_ERR`.
   */
  async suspend(address: Address, options: SuspendOptions = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['noflush', 'skipLockfs', 'signal'], 'suspend')
    return decodeInfo(await this.#port.suspend(addressOf(address), suspendFlags(options), options.signal))
  }

  /**
   * Resumes a device: makes a loaded table live and continues I/O (DM_DEV_SUSPEND without its flag). Rejects with
   * `DM_TABLE_REFUSED` if the table cannot become live, `DM_VOLUME_NOT_FOUND` (of a thin), `DM_NOT_FOUND`.
   */
  async resume(address: Address, options: SuspendOptions & WithUdev = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['noflush', 'skipLockfs', 'udev', 'signal'], 'resume')
    const udev = announcementOf(options.udev)
    return decodeInfo(await this.#port.resume(addressOf(address), options.signal, suspendFlags(options), udev))
  }

  /** Returns the state of a device (DM_DEV_STATUS). Rejects with `DM_NOT_FOUND`. */
  async status(address: Address, options: ReadOptions = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['inactive', 'signal'], 'status')
    return decodeInfo(await this.#port.deviceStatus(addressOf(address), options.signal, inactiveFlag(options)))
  }

  /**
   * Waits until the device's event number differs from `eventNumber` (default: the present one) (DM_DEV_WAIT). Occupies
   * a thread of its own during the wait; to watch many devices, use events. Rejects with `DM_NOT_FOUND`, `ABORT_ERR`.
   */
  async wait(address: Address, options: WaitOptions = {}): Promise<DeviceEventResult> {
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
   * Begins a udev transaction. Its `finish()` waits until udev has handled the calls made with it, and created links
   * such as /dev/mapper/NAME. Without udev the transaction has `synchronized: false` and does not wait. Also removes
   * the semaphores that crashed processes left. Rejects with `DM_KERNEL` (ENOSPC) if the machine has no semaphore left.
   */
  async beginUdev(options: UdevRules & SignalOption = {}): Promise<UdevTransaction> {
    checkOptions(options, [...UDEV_RULE_NAMES, 'signal'], 'beginUdev')
    return UdevTransaction.begin(this.#port, options, options.signal)
  }

  /** Opens an event poll on a file descriptor of its own (DM_DEV_ARM_POLL, 4.37, and poll(2)). `close` it. */
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
   * Loads a table, which becomes live at the next `resume` (DM_TABLE_LOAD). `secureData`: the kernel wipes its copies
   * of the request (keys of crypt); JavaScript's own strings cannot be wiped. Rejects with `DM_TABLE_REFUSED` and a
   * `kernelReason`.
   */
  async tableLoad(
    address: Address,
    table: readonly Segment[],
    options: LoadTableOptions = {},
  ): Promise<MappedDeviceInfo> {
    checkOptions(options, ['readOnly', 'secureData', 'signal'], 'tableLoad')
    const flags =
      (checkBoolean('readOnly', options.readOnly) ? LOAD_FLAG.readOnly : 0) |
      (checkBoolean('secureData', options.secureData) ? LOAD_FLAG.secureData : 0)
    return decodeInfo(await this.#port.tableLoad(addressOf(address), buildTable(table), flags, options.signal))
  }

  /** Drops the table that is loaded and not live yet (DM_TABLE_CLEAR). Rejects with `DM_NOT_FOUND`. */
  async tableClear(address: Address, options: SignalOption = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['signal'], 'tableClear')
    return decodeInfo(await this.#port.tableClear(addressOf(address), options.signal))
  }

  /** Returns the devices that the table names, as `7:0` (DM_TABLE_DEPS). Rejects with `DM_NOT_FOUND`. */
  async tableDeps(address: Address, options: ReadOptions = {}): Promise<string[]> {
    checkOptions(options, ['inactive', 'signal'], 'tableDeps')
    const found = await this.#port.tableDeps(addressOf(address), options.signal, inactiveFlag(options))
    return found.map(deviceNumber)
  }

  /** Returns the status line of each target (DM_TABLE_STATUS). Rejects with `DM_NOT_FOUND`. */
  async tableStatus(address: Address, options: StatusOptions = {}): Promise<TargetLine[]> {
    checkOptions(options, ['inactive', 'noflush', 'signal'], 'tableStatus')
    return this.#port.tableStatus(addressOf(address), statusFlags(options), options.signal)
  }

  /**
   * Returns the table line of each target, as it could be loaded again (DM_TABLE_STATUS with DM_STATUS_TABLE_FLAG).
   * Rejects with `DM_NOT_FOUND`.
   */
  async table(address: Address, options: ReadOptions = {}): Promise<TargetLine[]> {
    checkOptions(options, ['inactive', 'signal'], 'table')
    const flags = TABLE_FLAG.table | TABLE_FLAG.noflush | inactiveFlag(options)
    return this.#port.tableStatus(addressOf(address), flags, options.signal)
  }

  /**
   * Returns each target as the integrity measurement records it (DM_TABLE_STATUS with DM_IMA_MEASUREMENT_FLAG, 5.15).
   * Rejects with `DM_NOT_FOUND`.
   */
  async imaMeasurement(address: Address, options: ReadOptions = {}): Promise<TargetLine[]> {
    checkOptions(options, ['inactive', 'signal'], 'imaMeasurement')
    const flags = TABLE_FLAG.ima | TABLE_FLAG.noflush | inactiveFlag(options)
    return this.#port.tableStatus(addressOf(address), flags, options.signal)
  }

  /**
   * Sends a message to the target at `sector` (default 0), or to the device mapper itself if it begins with `@`
   * (DM_TARGET_MSG). Returns the reply, or '' if there is none. It is never sent twice. Rejects with `DM_NOT_FOUND`;
   * for messages of a thin pool with `DM_VOLUME_EXISTS`, `DM_VOLUME_NOT_FOUND`, `DM_VOLUME_ACTIVE`, `DM_POOL_FULL`,
   * `DM_POOL_READ_ONLY`, `DM_METADATA_SNAPSHOT_HELD`, `DM_METADATA_SNAPSHOT_NOT_HELD`; otherwise with `DM_KERNEL` and
   * the target's errno.
   */
  async message(address: Address, message: string, options: DeviceMessageOptions = {}): Promise<string> {
    checkOptions(options, ['sector', 'secureData', 'signal'], 'message')
    const sector = checkNumber('sector', options.sector ?? 0, { min: 0 })
    const flags = checkBoolean('secureData', options.secureData) ? LOAD_FLAG.secureData : 0
    return this.#port.targetMessage(addressOf(address), sector, checkText('message', message), options.signal, flags)
  }

  /**
   * Sets the legacy CHS geometry of a device (DM_DEV_SET_GEOMETRY, 4.6). Rejects with `DM_NOT_FOUND`, `DM_KERNEL`
   * (EINVAL: `startSector` is beyond the geometry).
   */
  async setGeometry(address: Address, geometry: DeviceGeometry, options: SignalOption = {}): Promise<void> {
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

/** Returns the address for the port: exactly one of name, uuid and number, checked. */
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

/** Returns a device number with this minor, which is all that the kernel reads; it has up to 20 bits (MINORBITS). */
function minorDevice(minor: number): number {
  const checked = checkNumber('minor', minor, { min: 0, max: 2 ** 20 - 1 })
  return (checked & 0xff) | ((checked & ~0xff) << 12)
}
