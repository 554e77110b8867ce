// Loop devices: files as block devices.
import path from 'node:path'
import type { KernelOption } from '../kernel/kernel-option.js'
import { portOf } from '../kernel/native-port.js'
import type { KernelPort } from '../kernel/port/kernel-port.js'
import type { LoopStatus } from '../kernel/port/loop-port.js'
import type { Handle } from '../kernel/port/handle.js'
import { loopNumber } from '../base/device-number.js'
import {
  checkBoolean,
  checkOptions,
  checkPath,
  checkRequired,
  checkText,
  type SignalOption,
  checkNumber,
  invalid,
} from '../base/options.js'
import { SECTOR_BYTES } from '../base/units.js'
import { describeHolders } from './holders.js'
import { ownerIsGone, ownMark } from './loop-owner.js'
import { Pending } from '../base/pending.js'

/** Options of `LoopDevice.attach`. */
export interface LoopAttachOptions extends KernelOption, SignalOption {
  /** Path of an existing file. A relative path starts at the working directory. */
  readonly file: string
  /** N of `/dev/loopN`, 0 to 1 048 575. The device is created if it does not exist. Default: a free number. */
  readonly number?: number
  /** Attaches read-only. Default false. */
  readonly readOnly?: boolean
  /** Bypasses the page cache of the file (LO_FLAGS_DIRECT_IO). Default false. */
  readonly directIo?: boolean
  /**
   * Detaches the device when it is no longer open. This object holds it open until `close()`. Default false: it stays
   * attached until `detach()`.
   */
  readonly autoclear?: boolean
  /** Makes the kernel search for partitions and create `/dev/loop3p1` … (LO_FLAGS_PARTSCAN). Default false. */
  readonly partitionScan?: boolean
  /** Start of the device in the file, in bytes, a multiple of 512. Default 0. */
  readonly offsetBytes?: number
  /** Maximum size of the device in bytes; 0: to the end of the file. Default 0. */
  readonly sizeLimitBytes?: number
  /** Logical block size of the device, 512 to 4096. Default: the kernel's choice, 512. */
  readonly blockSizeBytes?: number
  /**
   * A text that is shown when loop devices are listed (`lo_file_name`), at most 63 bytes. It marks the device as
   * managed by someone: `findLeaked()` ignores it. Default: a mark of this process; with `autoclear` the file's path.
   */
  readonly reference?: string
}

/** Options of `LoopDevice.detach`. */
export interface LoopWaitOptions extends SignalOption {
  /** Time to wait for others to close the device, in milliseconds. Default 5 000. */
  readonly timeoutMs?: number
  /** Does not wait: the kernel detaches the device immediately, or when its last user closes it. Default false. */
  readonly lazy?: boolean
}

const ATTACH_OPTIONS = [
  'file',
  'number',
  'readOnly',
  'directIo',
  'autoclear',
  'partitionScan',
  'offsetBytes',
  'sizeLimitBytes',
  'blockSizeBytes',
  'reference',
  'kernel',
  'signal',
]

/** A loop device: a file that the kernel presents as a block device. */
export class LoopDevice {
  readonly #port: KernelPort
  readonly #pending: Pending
  #status: LoopStatus
  #held: Handle | undefined

  private constructor(port: KernelPort, status: LoopStatus, held?: Handle) {
    this.#port = port
    this.#status = status
    this.#held = held
    this.#pending = new Pending(this.path)
  }

  /**
   * Attaches a file to a free loop device (LOOP_CTL_GET_FREE, LOOP_CONFIGURE; on kernels before 5.8 LOOP_SET_FD and
   * LOOP_SET_STATUS64). Waits for the kernel without blocking JavaScript.
   *
   * Rejects with `DM_FILE_MISSING`, `DM_FILE_ATTACHED` (two loop devices over one file have two caches), `DM_BUSY` (the
   * `number` requested is in use), `DM_UNAVAILABLE` (no loop module), `DM_PERMISSION`, `DM_INVALID_ARGUMENT`,
   * `ABORT_ERR`.
   */
  static async attach(options: LoopAttachOptions): Promise<LoopDevice> {
    checkOptions(options, ATTACH_OPTIONS, 'LoopDevice.attach')
    const { number, reference } = options
    const request = {
      file: path.resolve(checkPath('file', options.file)),
      ...(number === undefined ? {} : { number: checkNumber('number', number, { min: 0, max: MAX_NUMBER }) }),
      reference: reference === undefined ? (options.autoclear ? '' : ownMark()) : checkReference(reference),
      readOnly: checkBoolean('readOnly', options.readOnly),
      directIo: checkBoolean('directIo', options.directIo),
      autoclear: checkBoolean('autoclear', options.autoclear),
      partitionScan: checkBoolean('partitionScan', options.partitionScan),
      offsetBytes: checkNumber('offsetBytes', options.offsetBytes ?? 0, { min: 0, multipleOf: SECTOR_BYTES }),
      sizeLimitBytes: checkNumber('sizeLimitBytes', options.sizeLimitBytes ?? 0, { min: 0, multipleOf: SECTOR_BYTES }),
      blockSizeBytes: checkNumber('blockSizeBytes', options.blockSizeBytes ?? 0, {
        min: 0,
        max: 4096,
        multipleOf: 512,
      }),
    }
    const port = portOf(options.kernel)
    const { held, ...status } = await port.loopAttach(request, options.signal)
    const device = new LoopDevice(port, status, held)
    if (!request.autoclear) await device.#release()
    return device
  }

  /**
   * Returns all attached loop devices of the machine, by number. Omits devices that are detached during the call.
   * Rejects with `DM_PERMISSION`, `ABORT_ERR`.
   */
  static async list(options: KernelOption & SignalOption = {}): Promise<LoopDevice[]> {
    checkOptions(options, ['kernel', 'signal'], 'LoopDevice.list')
    const port = portOf(options.kernel)
    const found = await port.loopList(options.signal)
    return found.map(status => new LoopDevice(port, status))
  }

  /**
   * Returns the loop devices that a process of this library attached and left: the process ended without detaching
   * them, and nothing holds them. It does not return devices of running processes, devices with `autoclear` or with a
   * `reference` of their own, and devices of other programs or other pid namespaces, whose state is unknown. Rejects
   * with `DM_PERMISSION`, `ABORT_ERR`.
   */
  static async findLeaked(options: KernelOption & SignalOption = {}): Promise<LoopDevice[]> {
    checkOptions(options, ['kernel', 'signal'], 'LoopDevice.findLeaked')
    const port = portOf(options.kernel)
    const all = await port.loopList(options.signal)
    const left = all.filter(each => !each.autoclear && ownerIsGone(each.reference))
    const holders = await Promise.all(left.map(each => port.holders(loopNumber(each.number), options.signal)))
    return left.filter((_, index) => holders[index]?.length === 0).map(status => new LoopDevice(port, status))
  }

  /** `/dev/loop3`, the node of the device. */
  get path(): string {
    return `/dev/loop${this.#status.number}`
  }

  /** N of `/dev/loopN`. */
  get number(): number {
    return this.#status.number
  }

  /** The kernel's present path of the file. If the file is deleted, the kernel appends ` (deleted)`. */
  get file(): string {
    return this.#status.file
  }

  /** The state that the kernel last reported: at attach, list, resize or refresh. */
  get info(): LoopStatus {
    return this.#status
  }

  /** Reads the device's state from the kernel. Rejects with `DM_KERNEL` (ENXIO) if it is no longer attached. */
  async refresh(options: SignalOption = {}): Promise<LoopStatus> {
    checkOptions(options, ['signal'], 'refresh')
    return this.#pending.run(async () => (this.#status = await this.#port.loopStatus(this.number, options.signal)))
  }

  /**
   * Adapts the device to the changed size of its file (LOOP_SET_CAPACITY). Returns the new size in bytes. Rejects with
   * `DM_KERNEL` (ENXIO) if the device is no longer attached.
   */
  async resize(options: SignalOption = {}): Promise<number> {
    checkOptions(options, ['signal'], 'resize')
    return this.#pending.run(async () => {
      this.#status = await this.#port.loopSetCapacity(this.number, options.signal)
      return this.#status.sizeBytes
    })
  }

  /**
   * Sets whether the device bypasses the page cache of the file (LOOP_SET_DIRECT_IO), also while it is in use. Rejects
   * with `DM_KERNEL`: ENXIO if the device is no longer attached, EINVAL if the file system of the file does not support
   * it.
   */
  async setDirectIo(directIo: boolean, options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'setDirectIo')
    checkRequired('directIo', directIo)
    await this.#pending.run(async () => {
      this.#status = await this.#port.loopSetDirectIo(this.number, directIo, options.signal)
    })
  }

  /**
   * Replaces the file below a read-only device, also while it is open (LOOP_CHANGE_FD). The new file must result in the
   * same device size.
   *
   * Rejects with `DM_INVALID_ARGUMENT` (the device is writable, or the size differs), `DM_FILE_MISSING`,
   * `DM_FILE_ATTACHED`, `DM_PERMISSION`.
   */
  async changeFile(file: string, options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'changeFile')
    const other = path.resolve(checkPath('file', file))
    await this.#pending.run(async () => {
      this.#status = await this.#port.loopChangeFile(this.number, other, options.signal)
    })
  }

  /**
   * Detaches the file and waits until it is detached. If the device is still open after `timeoutMs`, rejects with
   * `DM_BUSY` and the holders that could be found; the kernel detaches the device at its last close. With `lazy` the
   * call does not wait for that.
   */
  async detach(options: LoopWaitOptions = {}): Promise<void> {
    checkOptions(options, ['timeoutMs', 'lazy', 'signal'], 'detach')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? 5_000, { min: 0 })
    const lazy = checkBoolean('lazy', options.lazy)
    return this.#pending.run(async () => {
      await this.#release()
      if (lazy) return void (await this.#port.loopDetachAtLastClose(this.number, options.signal))
      await describeHolders(this.#port, loopNumber(this.number), this.path, () =>
        this.#port.loopDetach(this.number, limit, options.signal),
      )
    })
  }

  /** Closes the descriptor that keeps an autoclear device attached. Idempotent. Does not detach the device itself. */
  async close(): Promise<void> {
    await this.#pending.close(() => this.#release())
  }

  /** Calls `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #release(): Promise<void> {
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) await this.#port.release(held)
  }
}

/** Minors have 20 bits. */
const MAX_NUMBER = 2 ** 20 - 1
/** LO_NAME_SIZE minus the terminator. */
const MAX_REFERENCE_BYTES = 63

function checkReference(value: unknown): string {
  const text = checkText('reference', value)
  if (text !== '' && Buffer.byteLength(text) <= MAX_REFERENCE_BYTES) return text
  throw invalid(`reference must have 1 to ${MAX_REFERENCE_BYTES} bytes, but has ${Buffer.byteLength(text)}`)
}
