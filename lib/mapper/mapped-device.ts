// A mapped device of any targets: made of a table, looked at, given another table, taken away.
import { decodeInfo, type MappedDeviceInfo } from './device-info.js'
import { addressOf, type Address, type ReadOptions, type StatusOptions, type SuspendOptions } from './device-mapper.js'
import { checkKernelName, checkKernelUuid } from '../kernel/kernel-names.js'
import type { KernelOption } from '../kernel/kernel-option.js'
import { portOf } from '../kernel/native-port.js'
import {
  LOAD_FLAG,
  TABLE_FLAG,
  type DeviceAddress,
  type DeviceInfo,
  type TargetLine,
} from '../kernel/port/device-port.js'
import type { KernelPort } from '../kernel/port/kernel-port.js'
import { deviceNumber, parseDeviceNumber } from '../base/device-number.js'
import { layTable, type Segment } from '../kernel/table.js'
import { checkBoolean, checkOptions, checkText, type SignalOption, checkNumber } from '../base/options.js'
import { deviceTree, type DeviceTree } from './device-tree.js'
import { describeHolders } from '../block/holders.js'
import { Pending } from '../base/pending.js'
import { replaceTable } from './replace-table.js'
import { createSecurely, withoutSecrets } from './secure-table.js'
import { Rollback } from '../base/rollback.js'

/** Options of `MappedDevice.create`. */
export interface CreateMappedDeviceOptions extends KernelOption, SignalOption {
  /** 1 to 127 bytes, any but `/`. */
  readonly name: string
  /** 1 to 128 bytes. Default none; it can be given later, once. */
  readonly uuid?: string
  /** Segments from sector 0 on, as the targets make them. At least one. */
  readonly table: readonly Segment[]
  /** Writes to the node fail. Default false. */
  readonly readOnly?: boolean
  /** The kernel wipes its copies of the table: for keys of `crypt`. Default false. */
  readonly secureData?: boolean
  /**
   * Where no udev makes it: a link `/dev/mapper/NAME`, which follows `rename` and goes with `remove`. Default false.
   */
  readonly mapperLink?: boolean
}

/** Options of `MappedDevice.replaceTable`. */
export interface ReplaceTableOptions extends SignalOption {
  /** Of the new table. Default false, whatever the old one was. */
  readonly readOnly?: boolean
  /** The kernel wipes its copies of the table. Default false. */
  readonly secureData?: boolean
  /** Queued I/O stays queued for the new table, instead of being finished by the old one. Default false. */
  readonly noflush?: boolean
  /** A mounted file system is not frozen first. Default false. */
  readonly skipLockfs?: boolean
}

/** Options of `MappedDevice.remove`. */
export interface RemoveMappedDeviceOptions extends SignalOption {
  /** How long a busy device is tried, in milliseconds. Default 10 000; 0: once. */
  readonly timeoutMs?: number
  /** A busy device is left to the kernel, which removes it when it is let go. Default false. */
  readonly deferred?: boolean
}

const DEFAULT_TIMEOUT_MS = 10_000

/** A mapped device with any table. */
export class MappedDevice {
  readonly #port: KernelPort
  readonly #pending: Pending
  #info: MappedDeviceInfo
  /** One change after the other: a device has room for one loaded table. */
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(port: KernelPort, info: DeviceInfo) {
    this.#port = port
    this.#info = decodeInfo(info)
    this.#pending = new Pending(`mapped device ${this.#info.name}`)
  }

  /**
   * Makes a device: create, load, resume. A failed step takes the earlier ones back, so that no device is left.
   *
   * Rejects with `DM_NAME_TAKEN` (or the uuid is), `DM_TABLE_REFUSED` with `kernelReason`, `DM_INVALID_ARGUMENT`,
   * `DM_PERMISSION`, `DM_UNAVAILABLE`, `ABORT_ERR`.
   */
  static async create(options: CreateMappedDeviceOptions): Promise<MappedDevice> {
    checkOptions(
      options,
      ['name', 'uuid', 'table', 'readOnly', 'secureData', 'mapperLink', 'kernel', 'signal'],
      'MappedDevice.create',
    )
    const name = checkKernelName(options.name)
    const uuid = options.uuid === undefined ? '' : checkKernelUuid(options.uuid)
    const table = layTable(options.table)
    const request = { name, uuid, table, readOnly: checkBoolean('readOnly', options.readOnly) }
    const port = portOf(options.kernel)
    const secure = checkBoolean('secureData', options.secureData)
    const link = checkBoolean('mapperLink', options.mapperLink)
    const made = secure ? createSecurely(port, request, options.signal) : port.activate(request, options.signal)
    const info = await withoutSecrets(table, made)
    const rollback = new Rollback()
    rollback.push('DM_DEV_REMOVE', name, () => port.remove({ name }, DEFAULT_TIMEOUT_MS))
    await rollback.guard(async () => link && port.mapperLinks.make(name, info.device))
    return new MappedDevice(port, info)
  }

  /** A device that there is already, made by whomever: by its name, or `{ uuid }`, or `{ device: '253:4' }`. */
  static async open(address: Address, options: KernelOption & SignalOption = {}): Promise<MappedDevice> {
    checkOptions(options, ['kernel', 'signal'], 'MappedDevice.open')
    const port = portOf(options.kernel)
    return new MappedDevice(port, await port.deviceStatus(addressOf(address), options.signal))
  }

  /** As this object knows it: another process may have renamed it. */
  get name(): string {
    return this.#info.name
  }

  /** Empty where it has none. */
  get uuid(): string {
    return this.#info.uuid
  }

  /** `253:4`: what other tables name it by. */
  get device(): string {
    return this.#info.device
  }

  /** `/dev/dm-4`: there since its first table, with udev and without. */
  get path(): string {
    return this.#info.path
  }

  /** DM_DEV_STATUS: asks the kernel, and takes its answer over (a new name, too, where the device has a uuid). */
  async info(options: SignalOption = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['signal'], 'info')
    return this.#run(async () => this.#adopt(await this.#port.deviceStatus(this.#address, options.signal)))
  }

  /** The table line of each segment, to be read by its target or by `parseTableLine`. Shows the keys of `crypt`. */
  async table(options: ReadOptions = {}): Promise<TargetLine[]> {
    checkOptions(options, ['inactive', 'signal'], 'table')
    const flags = TABLE_FLAG.table | TABLE_FLAG.noflush | inactiveFlag(options)
    return this.#run(() => this.#port.tableStatus(this.#address, flags, options.signal))
  }

  /** The status line of each segment, to be read by its target or by `parseStatusLine`. */
  async status(options: StatusOptions = {}): Promise<TargetLine[]> {
    checkOptions(options, ['inactive', 'noflush', 'signal'], 'status')
    const noflush = options.noflush === undefined || checkBoolean('noflush', options.noflush)
    const flags = (noflush ? TABLE_FLAG.noflush : 0) | inactiveFlag(options)
    return this.#run(() => this.#port.tableStatus(this.#address, flags, options.signal))
  }

  /**
   * Another table for the live device: load, suspend, resume. Waits for the I/O that is under way. What cannot be
   * loaded changes nothing; when a later step fails, the loaded table is dropped and the device goes on with the old
   * one, resumed. `rollback` of the error says what was done. A device that was suspended is resumed too.
   *
   * Rejects with `DM_TABLE_REFUSED`, `DM_NOT_FOUND`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
   */
  async replaceTable(table: readonly Segment[], options: ReplaceTableOptions = {}): Promise<void> {
    checkOptions(options, ['readOnly', 'secureData', 'noflush', 'skipLockfs', 'signal'], 'replaceTable')
    const lines = layTable(table)
    const loadFlags =
      (checkBoolean('readOnly', options.readOnly) ? LOAD_FLAG.readOnly : 0) |
      (checkBoolean('secureData', options.secureData) ? LOAD_FLAG.secureData : 0)
    const suspendFlags = flagsOf(options)
    await this.#change(async () => {
      const device = { port: this.#port, address: this.#address, name: this.name }
      await withoutSecrets(lines, replaceTable({ ...device, table: lines, loadFlags, suspendFlags }, options.signal))
    })
  }

  /** DM_DEV_SUSPEND: holds new I/O back, after what is under way has finished. Waits for that. */
  async suspend(options: SuspendOptions = {}): Promise<void> {
    checkOptions(options, ['noflush', 'skipLockfs', 'signal'], 'suspend')
    const flags = flagsOf(options)
    await this.#change(async () => this.#adopt(await this.#port.suspend(this.#address, flags, options.signal)))
  }

  /** Lets I/O through again; a table that somebody has loaded meanwhile becomes live. */
  async resume(options: SuspendOptions = {}): Promise<void> {
    checkOptions(options, ['noflush', 'skipLockfs', 'signal'], 'resume')
    const flags = flagsOf(options)
    await this.#change(async () => this.#adopt(await this.#port.resume(this.#address, options.signal, flags)))
  }

  /** DM_DEV_RENAME. `DM_NAME_TAKEN` where another device, or this one, has the name. */
  async rename(name: string, options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'rename')
    const to = checkKernelName(name)
    await this.#change(async () => {
      // The kernel renames by name alone: by the one that the device has now.
      const { name: from, device } = await this.#port.deviceStatus(this.#address, options.signal)
      const links = this.#port.mapperLinks
      const rollback = new Rollback()
      // The new link first: where it cannot be made, nothing has been renamed.
      if (links.leads(from, device)) {
        links.make(to, device)
        rollback.push('unlink', `/dev/mapper/${to}`, async () => links.drop(to))
      }
      this.#adopt(await rollback.guard(() => this.#port.rename(from, to, options.signal)))
      links.drop(from)
    })
  }

  /** DM_TARGET_MSG to the target at `sector` (default 0). Gives its reply, or ''. */
  async message(message: string, options: { readonly sector?: number } & SignalOption = {}): Promise<string> {
    checkOptions(options, ['sector', 'signal'], 'message')
    const sector = checkNumber('sector', options.sector ?? 0, { min: 0 })
    const text = checkText('message', message)
    return this.#run(() => this.#port.targetMessage(this.#address, sector, text, options.signal))
  }

  /** DM_TABLE_DEPS: what its table names, as `7:0`, each once. */
  async deps(options: ReadOptions = {}): Promise<string[]> {
    checkOptions(options, ['inactive', 'signal'], 'deps')
    const flags = inactiveFlag(options)
    return this.#run(async () => {
      const found = await this.#port.tableDeps(this.#address, options.signal, flags)
      return found.map(deviceNumber)
    })
  }

  /** Returns the devices below this one, down to the disks. `treeText` draws them. */
  async tree(options: SignalOption = {}): Promise<DeviceTree> {
    checkOptions(options, ['signal'], 'tree')
    return this.#run(async () => {
      const { device } = await this.#port.deviceStatus(this.#address, options.signal)
      return deviceTree(this.#port, device, options.signal)
    })
  }

  /**
   * Takes the device away. While somebody holds it open it is tried again, on EBUSY only, until `timeoutMs` are over:
   * then `DM_BUSY` with the holders that could be seen. Gives whether it is gone: false only with `deferred`, where the
   * kernel removes it later. The devices below stay.
   */
  async remove(options: RemoveMappedDeviceOptions = {}): Promise<boolean> {
    checkOptions(options, ['timeoutMs', 'deferred', 'signal'], 'remove')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS, { min: 0 })
    const deferred = checkBoolean('deferred', options.deferred)
    return this.#change(async () => {
      const number = parseDeviceNumber(this.device) ?? 0
      const removed = await describeHolders(this.#port, number, this.name, () =>
        this.#port.remove(this.#address, limit, options.signal, deferred),
      )
      const gone = !decodeInfo(removed).deferredRemove
      if (gone) this.#port.mapperLinks.drop(this.name)
      return gone
    })
  }

  /** Waits for the calls under way on this object and lets nothing new in. The device stays. */
  async close(): Promise<void> {
    await this.#pending.close()
  }

  /** Calls `close()`: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** The uuid where there is one: it stays when others rename the device. */
  get #address(): DeviceAddress {
    return this.uuid === '' ? { name: this.name } : { uuid: this.uuid }
  }

  #run<T>(body: () => Promise<T>): Promise<T> {
    return this.#pending.run(body)
  }

  #change<T>(body: () => Promise<T>): Promise<T> {
    return this.#pending.run(() => {
      const turn = this.#turn.then(body)
      this.#turn = turn.catch(() => {})
      return turn
    })
  }

  #adopt(info: DeviceInfo): MappedDeviceInfo {
    return (this.#info = decodeInfo(info))
  }
}

const inactiveFlag = ({ inactive }: ReadOptions): number =>
  checkBoolean('inactive', inactive) ? TABLE_FLAG.inactive : 0

const flagsOf = ({ noflush, skipLockfs }: SuspendOptions): number =>
  (checkBoolean('noflush', noflush) ? TABLE_FLAG.noflush : 0) |
  (checkBoolean('skipLockfs', skipLockfs) ? TABLE_FLAG.skipLockfs : 0)
