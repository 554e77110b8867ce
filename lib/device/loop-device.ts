// Loop devices: a file as a block device.
import path from 'node:path'
import type { KernelOption } from '../kernel/kernel.js'
import { portOf } from '../kernel/native-port.js'
import { encodeDevice, type Handle, type KernelPort, type LoopStatus } from '../kernel/port.js'
import { checkBoolean, checkOptions, checkPath } from '../names.js'
import { checkNumber, SECTOR_BYTES } from '../units.js'
import { describeHolders } from './holders.js'
import { Pending } from './pending.js'

export interface LoopAttachOptions extends KernelOption {
  /** The file. It must exist; a relative path is taken from the working directory. */
  readonly file: string
  /** Default false. */
  readonly readOnly?: boolean
  /** Bypass the page cache of the file (LO_FLAGS_DIRECT_IO). Default false. */
  readonly directIo?: boolean
  /**
   * Detach when nobody has the device open any more. This object holds it open until `close()`. Default false: it
   * stays attached until `detach()`.
   */
  readonly autoclear?: boolean
  /** Where in the file the device begins, in bytes, a multiple of 512. Default 0. */
  readonly offsetBytes?: number
  /** How much of the file the device shows, in bytes; 0: to the end. Default 0. */
  readonly sizeLimitBytes?: number
  /** Logical block size of the device, 512 to 4096. Default: the kernel's choice, 512. */
  readonly blockSizeBytes?: number
  readonly signal?: AbortSignal
}

export interface LoopWaitOptions {
  /** How long to wait for others to close the device, in milliseconds. Default 5 000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

const ATTACH_OPTIONS = [
  'file',
  'readOnly',
  'directIo',
  'autoclear',
  'offsetBytes',
  'sizeLimitBytes',
  'blockSizeBytes',
  'kernel',
  'signal',
]

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
   * LOOP_SET_STATUS64). Waits for the kernel, not in JavaScript.
   *
   * Rejects with `DM_FILE_MISSING`, `DM_FILE_ATTACHED` (two loop devices over one file have two caches),
   * `DM_UNAVAILABLE` (no loop module), `DM_PERMISSION`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
   */
  static async attach(options: LoopAttachOptions): Promise<LoopDevice> {
    checkOptions(options, ATTACH_OPTIONS, 'LoopDevice.attach')
    const request = {
      file: path.resolve(checkPath('file', options.file)),
      readOnly: checkBoolean('readOnly', options.readOnly),
      directIo: checkBoolean('directIo', options.directIo),
      autoclear: checkBoolean('autoclear', options.autoclear),
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
    if (!request.autoclear) device.#release()
    return device
  }

  /** All attached loop devices of the machine, by number. Devices detached while it looks are left out. */
  static async list(options: KernelOption & { readonly signal?: AbortSignal } = {}): Promise<LoopDevice[]> {
    checkOptions(options, ['kernel', 'signal'], 'LoopDevice.list')
    const port = portOf(options.kernel)
    const found = await port.loopList(options.signal)
    return found.map(status => new LoopDevice(port, status))
  }

  /** `/dev/loop3` */
  get path(): string {
    return `/dev/loop${this.#status.number}`
  }

  /** 3 of `/dev/loop3`. */
  get number(): number {
    return this.#status.number
  }

  /** The path that the kernel has for the file now; ` (deleted)` is appended when it has none. */
  get file(): string {
    return this.#status.file
  }

  /** What the kernel said last: at attach, list, resize or refresh. */
  get info(): LoopStatus {
    return this.#status
  }

  /** Asks the kernel again. Rejects with `DM_KERNEL` (ENXIO) when it is not attached any more. */
  async refresh(options: { readonly signal?: AbortSignal } = {}): Promise<LoopStatus> {
    checkOptions(options, ['signal'], 'refresh')
    return this.#pending.run(async () => (this.#status = await this.#port.loopStatus(this.number, options.signal)))
  }

  /** After the file has changed its size: the device follows (LOOP_SET_CAPACITY). Gives the new size in bytes. */
  async resize(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    checkOptions(options, ['signal'], 'resize')
    return this.#pending.run(async () => {
      this.#status = await this.#port.loopSetCapacity(this.number, options.signal)
      return this.#status.sizeBytes
    })
  }

  /**
   * Detaches the file and waits until it is. Somebody who holds the device open keeps it attached: `DM_BUSY` after
   * `timeoutMs`, with the holders that could be seen; the kernel then detaches at their last close.
   */
  async detach(options: LoopWaitOptions = {}): Promise<void> {
    checkOptions(options, ['timeoutMs', 'signal'], 'detach')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? 5_000, { min: 0 })
    return this.#pending.run(async () => {
      this.#release()
      await describeHolders(this.#port, deviceOf(this.number), this.path, () =>
        this.#port.loopDetach(this.number, limit, options.signal),
      )
    })
  }

  /** Lets go of the descriptor that keeps an autoclear device attached. Idempotent; never detaches by itself. */
  async close(): Promise<void> {
    await this.#pending.close(() => this.#release())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #release(): void {
    if (this.#held === undefined) return
    this.#port.release(this.#held)
    this.#held = undefined
  }
}

/** Loop devices have major 7 (Documentation/admin-guide/devices.txt). */
const LOOP_MAJOR = 7
const deviceOf = (number: number): number => encodeDevice(LOOP_MAJOR, number)
