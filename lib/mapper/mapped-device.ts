// A mapped device of any targets: created from a table, queried, reloaded, removed.
import { decodeInfo, type MappedDeviceInfo } from './device-info.js'
import type { Address, MessageOptions, ReadOptions, StatusOptions, SuspendOptions } from './command-options.js'
import { addressOf } from './device-mapper.js'
import { checkKernelName, checkKernelUuid } from '../kernel/kernel-names.js'
import type { KernelOption } from '../kernel/kernel-option.js'
import { portOf } from '../kernel/native-port.js'
import {
  BUSY_RETRY_MS,
  LOAD_FLAG,
  TABLE_FLAG,
  type DeviceAddress,
  type DeviceInfo,
  type TargetLine,
} from '../kernel/port/device-port.js'
import type { KernelPort } from '../kernel/port/kernel-port.js'
import { deviceNumber, parseDeviceNumber } from '../base/device-number.js'
import { buildTable, type Segment } from '../kernel/table.js'
import { checkBoolean, checkOptions, checkText, type SignalOption, checkNumber } from '../base/options.js'
import { deviceTree, type DeviceTree } from './device-tree.js'
import { describeHolders } from '../block/holders.js'
import { Pending } from '../base/pending.js'
import { replaceTable } from './replace-table.js'
import { createSecurely, withoutSecrets } from './secure-table.js'
import { Rollback } from '../base/rollback.js'

/** Options of `MappedDevice.create`. */
export interface CreateMappedDeviceOptions extends KernelOption, SignalOption {
  /** Name of the device, 1 to 127 bytes, any but `/`. */
  readonly name: string
  /** The uuid, 1 to 128 bytes. Default: none; it can be set later, once. */
  readonly uuid?: string
  /** Segments from sector 0 on, as the targets make them. At least one. */
  readonly table: readonly Segment[]
  /** Creates a read-only device: writes to it fail. Default false. */
  readonly readOnly?: boolean
  /** Makes the kernel wipe its copies of the table, for keys of `crypt`. Default false. */
  readonly secureData?: boolean
  /**
   * Creates a link `/dev/mapper/NAME` if udev does not. The link follows `rename` and is deleted by `remove`. Default
   * false.
   */
  readonly mapperLink?: boolean
}

/** Options of `MappedDevice.replaceTable`. */
export interface ReplaceTableOptions extends SignalOption {
  /** Makes the device read-only with the new table. Default false, whatever the old one was. */
  readonly readOnly?: boolean
  /** Makes the kernel wipe its copies of the table. Default false. */
  readonly secureData?: boolean
  /** Keeps queued I/O queued for the new table, instead of completing it with the old one. Default false. */
  readonly noflush?: boolean
  /** Does not freeze a mounted file system first. Default false. */
  readonly skipLockfs?: boolean
}

/** Options of `MappedDevice.remove`. */
export interface RemoveMappedDeviceOptions extends SignalOption {
  /** Time for which a busy device is retried, in milliseconds. Default 10 000; 0: one attempt. */
  readonly timeoutMs?: number
  /** Leaves a busy device to the kernel, which removes it when it is closed. Default false. */
  readonly deferred?: boolean
}

/** A mapped device with any table. */
export class MappedDevice {
  readonly #port: KernelPort
  readonly #pending: Pending
  #info: MappedDeviceInfo
  /** The queue of changes, which run one at a time: a device has room for one loaded table. */
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(port: KernelPort, info: DeviceInfo) {
    this.#port = port
    this.#info = decodeInfo(info)
    this.#pending = new Pending(`mapped device ${this.#info.name}`)
  }

  /**
   * Creates a device: create, load, resume. If a step fails, the completed steps are rolled back, so that no device is
   * left.
   *
   * Rejects with `DM_NAME_TAKEN` (the name or the uuid), `DM_TABLE_REFUSED` with `kernelReason`, `DM_INVALID_ARGUMENT`,
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
    const table = buildTable(options.table)
    const request = { name, uuid, table, readOnly: checkBoolean('readOnly', options.readOnly) }
    const port = portOf(options.kernel)
    const secure = checkBoolean('secureData', options.secureData)
    const link = checkBoolean('mapperLink', options.mapperLink)
    const made = secure ? createSecurely(port, request, options.signal) : port.activate(request, options.signal)
    const info = await withoutSecrets(table, made)
    const rollback = new Rollback()
    rollback.push('DM_DEV_REMOVE', name, () => port.remove({ name }, BUSY_RETRY_MS))
    await rollback.guard(async () => link && port.mapperLinks.make(name, info.device))
    return new MappedDevice(port, info)
  }

  /**
   * Opens an existing device, whoever created it: by its name, `{ uuid }`, or `{ device: '253:4' }`. Rejects with
   * `DM_NOT_FOUND`, `DM_INVALID_ARGUMENT`, `DM_PERMISSION`, `DM_UNAVAILABLE`.
   */
  static async open(address: Address, options: KernelOption & SignalOption = {}): Promise<MappedDevice> {
    checkOptions(options, ['kernel', 'signal'], 'MappedDevice.open')
    const port = portOf(options.kernel)
    return new MappedDevice(port, await port.deviceStatus(addressOf(address), options.signal))
  }

  /** The name as this object knows it. Another process may have renamed the device. */
  get name(): string {
    return this.#info.name
  }

  /** The uuid; empty if there is none. */
  get uuid(): string {
    return this.#info.uuid
  }

  /** `253:4`, the device number, which other tables use. */
  get device(): string {
    return this.#info.device
  }

  /** `/dev/dm-4`. The node exists since the first table was loaded, with udev and without. */
  get path(): string {
    return this.#info.path
  }

  /**
   * Returns the device's state from the kernel (DM_DEV_STATUS), and updates this object (also the name, if the device
   * has a uuid). Rejects with `DM_NOT_FOUND`, `DM_CLOSED`.
   */
  async info(options: SignalOption = {}): Promise<MappedDeviceInfo> {
    checkOptions(options, ['signal'], 'info')
    return this.#run(async () => this.#adopt(await this.#port.deviceStatus(this.#address, options.signal)))
  }

  /**
   * Returns the table line of each segment, which its target or `parseTableLine` parses. Contains the keys of `crypt`.
   * Rejects with `DM_NOT_FOUND`, `DM_CLOSED`.
   */
  async table(options: ReadOptions = {}): Promise<TargetLine[]> {
    checkOptions(options, ['inactive', 'signal'], 'table')
    const flags = TABLE_FLAG.table | TABLE_FLAG.noflush | inactiveFlag(options)
    return this.#run(() => this.#port.tableStatus(this.#address, flags, options.signal))
  }

  /**
   * Returns the status line of each segment, which its target or `parseStatusLine` parses. Rejects with `DM_NOT_FOUND`,
   * `DM_CLOSED`.
   */
  async status(options: StatusOptions = {}): Promise<TargetLine[]> {
    checkOptions(options, ['inactive', 'noflush', 'signal'], 'status')
    const noflush = options.noflush === undefined || checkBoolean('noflush', options.noflush)
    const flags = (noflush ? TABLE_FLAG.noflush : 0) | inactiveFlag(options)
    return this.#run(() => this.#port.tableStatus(this.#address, flags, options.signal))
  }

  /**
   * Replaces the table of the live device: load, suspend, resume. Waits for the I/O in progress. If the table cannot be
   * loaded, nothing changes. If a later step fails, the loaded table is dropped and the device is resumed with the old
   * one; `rollback` of the error lists the steps. A device that was suspended is resumed too.
   *
   * Rejects with `DM_TABLE_REFUSED`, `DM_NOT_FOUND`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
   */
  async replaceTable(table: readonly Segment[], options: ReplaceTableOptions = {}): Promise<void> {
    checkOptions(options, ['readOnly', 'secureData', 'noflush', 'skipLockfs', 'signal'], 'replaceTable')
    const lines = buildTable(table)
    const loadFlags =
      (checkBoolean('readOnly', options.readOnly) ? LOAD_FLAG.readOnly : 0) |
      (checkBoolean('secureData', options.secureData) ? LOAD_FLAG.secureData : 0)
    const suspendFlags = flagsOf(options)
    await this.#change(async () => {
      const device = { port: this.#port, address: this.#address, name: this.name }
      await withoutSecrets(lines, replaceTable({ ...device, table: lines, loadFlags, suspendFlags }, options.signal))
    })
  }

  /**
   * Suspends the device: holds back new I/O and waits until the I/O in progress has completed (DM_DEV_SUSPEND). The
   * wait has no limit: pass a `signal`. Rejects with `DM_NOT_FOUND`, `DM_CLOSED`, `ABORT_ERR`.
   */
  async suspend(options: SuspendOptions = {}): Promise<void> {
    checkOptions(options, ['noflush', 'skipLockfs', 'signal'], 'suspend')
    const flags = flagsOf(options)
    await this.#change(async () => this.#adopt(await this.#port.suspend(this.#address, flags, options.signal)))
  }

  /**
   * Resumes the device. If a table has been loaded, that table becomes live. Rejects with `DM_TABLE_REFUSED` if it
   * cannot become live, `DM_NOT_FOUND`, `DM_CLOSED`.
   */
  async resume(options: SuspendOptions = {}): Promise<void> {
    checkOptions(options, ['noflush', 'skipLockfs', 'signal'], 'resume')
    const flags = flagsOf(options)
    await this.#change(async () => this.#adopt(await this.#port.resume(this.#address, options.signal, flags)))
  }

  /** Renames the device (DM_DEV_RENAME). Rejects with `DM_NAME_TAKEN` if another device, or this one, has the name. */
  async rename(name: string, options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'rename')
    const to = checkKernelName(name)
    await this.#change(async () => {
      // The kernel renames by name alone: by the present one.
      const { name: from, device } = await this.#port.deviceStatus(this.#address, options.signal)
      const links = this.#port.mapperLinks
      const rollback = new Rollback()
      // The new link comes first: if it cannot be created, nothing has been renamed.
      if (links.leads(from, device)) {
        links.make(to, device)
        rollback.push('unlink', `/dev/mapper/${to}`, async () => links.drop(to))
      }
      this.#adopt(await rollback.guard(() => this.#port.rename(from, to, options.signal)))
      links.drop(from)
    })
  }

  /**
   * Sends a message to the target at `sector` (default 0) (DM_TARGET_MSG). Returns its reply, or ''. Rejects as
   * `DeviceMapper.message` does.
   */
  async message(message: string, options: MessageOptions = {}): Promise<string> {
    checkOptions(options, ['sector', 'signal'], 'message')
    const sector = checkNumber('sector', options.sector ?? 0, { min: 0 })
    const text = checkText('message', message)
    return this.#run(() => this.#port.targetMessage(this.#address, sector, text, options.signal))
  }

  /**
   * Returns the devices that its table names, as `7:0`, each once (DM_TABLE_DEPS). Rejects with `DM_NOT_FOUND`,
   * `DM_CLOSED`.
   */
  async deps(options: ReadOptions = {}): Promise<string[]> {
    checkOptions(options, ['inactive', 'signal'], 'deps')
    const flags = inactiveFlag(options)
    return this.#run(async () => {
      const found = await this.#port.tableDeps(this.#address, options.signal, flags)
      return found.map(deviceNumber)
    })
  }

  /**
   * Returns the devices below this one, down to the disks. `treeText` formats them. Rejects with `DM_NOT_FOUND`,
   * `DM_CLOSED`.
   */
  async tree(options: SignalOption = {}): Promise<DeviceTree> {
    checkOptions(options, ['signal'], 'tree')
    return this.#run(async () => {
      const { device } = await this.#port.deviceStatus(this.#address, options.signal)
      return deviceTree(this.#port, device, options.signal)
    })
  }

  /**
   * Removes the device. The devices below stay. Retries while the device is open (only on EBUSY) for up to `timeoutMs`,
   * after which it rejects with `DM_BUSY` and the holders that could be found. Returns true if the device is gone;
   * false only with `deferred`, if the kernel removes it later.
   */
  async remove(options: RemoveMappedDeviceOptions = {}): Promise<boolean> {
    checkOptions(options, ['timeoutMs', 'deferred', 'signal'], 'remove')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? BUSY_RETRY_MS, { min: 0 })
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

  /** Waits for the calls in progress on this object and rejects new ones. The device stays. */
  async close(): Promise<void> {
    await this.#pending.close()
  }

  /** Calls `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** The uuid if there is one: a rename by another program does not change it. */
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
