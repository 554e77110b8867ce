// Block devices: their size, their content past the page cache, and taking content away.
import { DmThinError } from '../base/errors.js'
import type { BlockInfo, Erasure } from '../kernel/port/block-port.js'
import type { KernelOption } from '../kernel/kernel-option.js'
import { machinePortOf, nativePort } from '../kernel/native-port.js'
import type { MachinePort } from '../kernel/port/kernel-port.js'
import type { Handle } from '../kernel/port/handle.js'
import { deviceNumber } from '../base/device-number.js'
import {
  checkBoolean,
  checkOptions,
  checkPath,
  checkRequired,
  type SignalOption,
  checkNumber,
  invalid,
  shown,
} from '../base/options.js'
import { GiB } from '../base/units.js'
import { describeHolders, withHolders } from './holders.js'
import { Pending } from '../base/pending.js'

/** Options of `BlockDevice.open`. */
export interface BlockOpenOptions extends KernelOption, SignalOption {
  /** Default false: for reading and writing. */
  readonly readOnly?: boolean
  /** Refuse a device that is mounted or claimed by another, and claim it (O_EXCL). Default false. */
  readonly exclusive?: boolean
  /**
   * Past the page cache (O_DIRECT): offsets and lengths are then multiples of the logical block size. False: through
   * it, at any byte. Default true.
   */
  readonly direct?: boolean
}

/** A part of a device. Both must be said: nothing here takes the whole device by default. */
export interface BlockRange extends SignalOption {
  /** Where it begins, in bytes, a multiple of the logical block size. */
  readonly offsetBytes: number
  /** Its length in bytes, a multiple of the logical block size. */
  readonly lengthBytes: number
  /** Heard between two pieces; `detail` of the error says how much was done. */
  readonly signal?: AbortSignal
}

/** Options of `BlockDevice.flush`. */
export interface BlockFlushOptions extends SignalOption {
  /** Forget what the page cache has of the device too (BLKFLSBUF). Default false. */
  readonly dropCache?: boolean
}

/** What one read gives at the most: a buffer has to hold it. */
const MAX_READ_BYTES = 1 * GiB

/** A block device that this process has open for reading, writing and discarding. */
export class BlockDevice {
  readonly #port: MachinePort
  readonly #handle: Handle
  readonly #pending: Pending
  readonly #opened: BlockInfo
  readonly #direct: boolean
  readonly #writable: boolean
  /** The path by which it was opened. */
  readonly path: string

  private constructor(port: MachinePort, path: string, handle: Handle, opened: BlockInfo, options: BlockOpenOptions) {
    this.#port = port
    this.#handle = handle
    this.#opened = opened
    this.#direct = options.direct ?? true
    this.#writable = options.readOnly !== true
    this.path = path
    this.#pending = new Pending(path)
  }

  /**
   * Opens a block device. Opened for writing, its closing makes udev look at it.
   *
   * Rejects with `DM_FILE_MISSING`, `DM_BUSY` (with `exclusive`: somebody has it, see `holders`),
   * `DM_INVALID_ARGUMENT` (no block device), `DM_PERMISSION`, `DM_KERNEL` (EROFS: some read-only devices say so here,
   * others at the first write), `ABORT_ERR`.
   */
  static async open(path: string, options: BlockOpenOptions = {}): Promise<BlockDevice> {
    checkOptions(options, ['readOnly', 'exclusive', 'direct', 'kernel', 'signal'], 'BlockDevice.open')
    const port = machinePortOf(options.kernel, 'block devices')
    const request = {
      path: checkPath('path', path),
      readOnly: checkBoolean('readOnly', options.readOnly),
      exclusive: checkBoolean('exclusive', options.exclusive),
      direct: options.direct === undefined ? true : checkRequired('direct', options.direct),
    }
    const started = performance.now()
    try {
      const { handle, ...info } = await port.blockOpen(request, options.signal)
      return new BlockDevice(port, path, handle, info, request)
    } catch (fault) {
      if (!(fault instanceof DmThinError) || fault.code !== 'DM_BUSY') throw fault
      const device = await port.identify(path).then(
        found => found.targetDevice,
        () => 0,
      )
      throw await withHolders(port, { device, name: path, started }, fault)
    }
  }

  /** `7:3`, the kernel's number for it. */
  get number(): string {
    return deviceNumber(this.#opened.device)
  }

  /** The least that is read or written at once, in bytes; ranges are multiples of it. */
  get logicalBlockBytes(): number {
    return this.#opened.logicalBlockBytes
  }

  /** Asks the kernel what the device is now. */
  async info(options: SignalOption = {}): Promise<BlockInfo> {
    checkOptions(options, ['signal'], 'info')
    return this.#pending.run(() => this.#port.blockInfo(this.#handle, options.signal))
  }

  /** The size in bytes, as it is now (BLKGETSIZE64). */
  async size(options: SignalOption = {}): Promise<number> {
    checkOptions(options, ['signal'], 'size')
    return this.#pending.run(async () => (await this.#port.blockInfo(this.#handle, options.signal)).sizeBytes)
  }

  /**
   * Tells the device that this content counts no more (BLKDISCARD), 1 GiB at a time. What is read there afterwards is
   * the device's affair. Waits for the device, not in JavaScript.
   *
   * Rejects with `DM_UNSUPPORTED`, `DM_BUSY`, `DM_INVALID_ARGUMENT` (the range, or opened read-only), `DM_KERNEL`,
   * `ABORT_ERR` (a part is discarded by then).
   */
  async discard(range: BlockRange): Promise<void> {
    return this.#erase('discard', range)
  }

  /** A discard after which no copy is left on the device (BLKSECDISCARD). Few devices can: `DM_UNSUPPORTED`. */
  async secureDiscard(range: BlockRange): Promise<void> {
    return this.#erase('secureDiscard', range)
  }

  /**
   * Makes a part read as zeros and keeps its space (BLKZEROOUT), 64 MiB at a time; by a command of the device where it
   * has one, by writing where not. Rejects as `discard` does.
   */
  async zeroOut(range: BlockRange): Promise<void> {
    return this.#erase('zeroOut', range)
  }

  /** Whether the device takes writes from now on (BLKROSET). Who has it open for writing already is refused none. */
  async setReadOnly(readOnly: boolean, options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'setReadOnly')
    checkRequired('readOnly', readOnly)
    return this.#pending.run(() => this.#port.blockSetReadOnly(this.#handle, readOnly, options.signal))
  }

  /**
   * Waits until everything that was written is on the device and out of its own cache (fsync). A write past the page
   * cache is on the device when it resolves, and safe from a loss of power after this.
   */
  async flush(options: BlockFlushOptions = {}): Promise<void> {
    checkOptions(options, ['dropCache', 'signal'], 'flush')
    const drop = checkBoolean('dropCache', options.dropCache)
    return this.#pending.run(() => this.#port.blockFlush(this.#handle, drop, options.signal))
  }

  /**
   * The kernel reads the partition table again (BLKRRPART). Rejects with `DM_BUSY` while a partition is in use,
   * `DM_UNSUPPORTED` where the device has none (a loop device without `partitionScan`).
   */
  async rereadPartitions(options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'rereadPartitions')
    return this.#describe(() => this.#port.blockReread(this.#handle, options.signal))
  }

  /**
   * Reads a part, 1 MiB at a time, at most 1 GiB in all. An abort is heard between two pieces. The buffer that it gives
   * is aligned, so that `write` takes it without a copy.
   *
   * Rejects with `DM_INVALID_ARGUMENT` (the range ends behind the device), `DM_KERNEL` (EIO …), `ABORT_ERR`.
   */
  async read(offsetBytes: number, lengthBytes: number, options: SignalOption = {}): Promise<Buffer> {
    checkOptions(options, ['signal'], 'read')
    const offset = this.#checked('offsetBytes', offsetBytes)
    const length = this.#checked('lengthBytes', lengthBytes, MAX_READ_BYTES)
    return this.#pending.run(async () => {
      const memory = alignedBuffer(length)
      await this.#port.blockRead(this.#handle, offset, memory, options.signal)
      return memory
    })
  }

  /**
   * Writes a buffer of any kind, 1 MiB at a time. One that is not aligned is copied on the way. It must not be changed
   * or transferred before this has settled. An abort is heard between two pieces; `detail` says how much was written.
   *
   * Rejects with `DM_INVALID_ARGUMENT` (the range, or opened read-only), `DM_KERNEL` (EIO, ENOSPC of a full thin
   * pool …), `ABORT_ERR`.
   */
  async write(offsetBytes: number, buffer: ArrayBufferView, options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'write')
    const offset = this.#checked('offsetBytes', offsetBytes)
    if (!ArrayBuffer.isView(buffer)) throw invalid(`buffer must be a Buffer or a typed array, but is ${shown(buffer)}`)
    if (!(buffer.buffer instanceof ArrayBuffer)) throw invalid('buffer must not lie in shared memory')
    this.#checked('the length of buffer', buffer.byteLength)
    this.#checkWritable('write')
    const memory = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    return this.#pending.run(() => this.#port.blockWrite(this.#handle, offset, memory, options.signal))
  }

  /** Lets go of the device after the calls that are under way. Idempotent. */
  async close(): Promise<void> {
    await this.#pending.close(() => this.#port.release(this.#handle))
  }

  /** Calls `close()`: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #erase(how: Erasure, range: BlockRange): Promise<void> {
    checkOptions(range, ['offsetBytes', 'lengthBytes', 'signal'], how)
    const offset = this.#checkedBlocks('offsetBytes', range.offsetBytes)
    const length = this.#checkedBlocks('lengthBytes', range.lengthBytes)
    this.#checkWritable(how)
    return this.#describe(() => this.#port.blockErase(this.#handle, how, offset, length, range.signal))
  }

  #describe<T>(body: () => Promise<T>): Promise<T> {
    return this.#pending.run(() => describeHolders(this.#port, this.#opened.device, this.path, body))
  }

  #checkWritable(act: string): void {
    if (!this.#writable) throw invalid(`${act}: ${this.path} is opened read-only`)
  }

  #checked(name: string, value: unknown, max = Number.MAX_SAFE_INTEGER): number {
    return this.#direct ? this.#checkedBlocks(name, value, max) : checkNumber(name, value, { min: 0, max })
  }

  #checkedBlocks(name: string, value: unknown, max = Number.MAX_SAFE_INTEGER): number {
    return checkNumber(name, value, { min: 0, max, multipleOf: this.#opened.logicalBlockBytes })
  }
}

/** Zeros in memory that reads and writes past the page cache take without a copy, up to 1 GiB. */
export function alignedBuffer(lengthBytes: number): Buffer {
  const length = checkNumber('lengthBytes', lengthBytes, { min: 0, max: MAX_READ_BYTES })
  const memory = nativePort().alignedBuffer(length)
  return Buffer.from(memory.buffer, memory.byteOffset, memory.byteLength)
}
