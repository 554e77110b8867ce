// Block devices: size, reads and writes past the page cache, discard.
import { DmThinError } from '../base/errors.js'
import type { MachinePort, BlockInfo, Erasure } from '../kernel/port/machine-port.js'
import type { KernelOption } from '../kernel/kernel-option.js'
import { machinePortOf, nativePort } from '../kernel/native-port.js'
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
  /** Opens for reading only. Default false: for reading and writing. */
  readonly readOnly?: boolean
  /** Claims the device (O_EXCL), and rejects one that is mounted or claimed by another. Default false. */
  readonly exclusive?: boolean
  /**
   * Bypasses the page cache (O_DIRECT): offsets and lengths must be multiples of the logical block size. False: uses
   * the page cache, at any byte. Default true.
   */
  readonly direct?: boolean
}

/** A range of a device. Both fields are required: no call covers the whole device by default. */
export interface BlockRange extends SignalOption {
  /** Start of the range in bytes, a multiple of the logical block size. */
  readonly offsetBytes: number
  /** Length of the range in bytes, a multiple of the logical block size. */
  readonly lengthBytes: number
  /** Aborts the call between two pieces. The `detail` of the error contains how much was done. */
  readonly signal?: AbortSignal
}

/** Options of `BlockDevice.flush`. */
export interface BlockFlushOptions extends SignalOption {
  /** Also drops the page cache of the device (BLKFLSBUF). Default false. */
  readonly dropCache?: boolean
}

/** The maximum of one read, whose buffer has to hold it. */
const MAX_READ_BYTES = 1 * GiB

/** A block device that this process has open for reading, writing and discarding. */
export class BlockDevice {
  readonly #port: MachinePort
  readonly #handle: Handle
  readonly #pending: Pending
  readonly #opened: BlockInfo
  readonly #direct: boolean
  readonly #writable: boolean
  /** The path with which it was opened. */
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
   * Opens a block device. If it is opened for writing, closing it makes udev probe it.
   *
   * Rejects with `DM_FILE_MISSING`, `DM_BUSY` (with `exclusive`: the device is in use, see `holders`),
   * `DM_INVALID_ARGUMENT` (not a block device), `DM_PERMISSION`, `DM_KERNEL` (EROFS: some read-only devices fail here,
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

  /** `7:3`, the device number. */
  get number(): string {
    return deviceNumber(this.#opened.device)
  }

  /** The logical block size in bytes, the smallest unit of reads and writes. Ranges are multiples of it. */
  get logicalBlockBytes(): number {
    return this.#opened.logicalBlockBytes
  }

  /** Returns the present properties of the device, read from the kernel. Rejects with `DM_CLOSED`. */
  async info(options: SignalOption = {}): Promise<BlockInfo> {
    checkOptions(options, ['signal'], 'info')
    return this.#pending.run(() => this.#port.blockInfo(this.#handle, options.signal))
  }

  /** Returns the present size in bytes (BLKGETSIZE64). Rejects with `DM_CLOSED`. */
  async size(options: SignalOption = {}): Promise<number> {
    checkOptions(options, ['signal'], 'size')
    return this.#pending.run(async () => (await this.#port.blockInfo(this.#handle, options.signal)).sizeBytes)
  }

  /**
   * Discards a range (BLKDISCARD), 1 GiB at a time: the device may drop its contents. Reads of a discarded range return
   * device-dependent data. Waits for the device without blocking JavaScript.
   *
   * Rejects with `DM_UNSUPPORTED`, `DM_BUSY`, `DM_INVALID_ARGUMENT` (the range, or opened read-only), `DM_KERNEL`,
   * `ABORT_ERR` (a part is already discarded).
   */
  async discard(range: BlockRange): Promise<void> {
    return this.#erase('discard', range)
  }

  /**
   * Discards a range so that no copy is left on the device (BLKSECDISCARD). Rejects with `DM_UNSUPPORTED` on most
   * devices.
   */
  async secureDiscard(range: BlockRange): Promise<void> {
    return this.#erase('secureDiscard', range)
  }

  /**
   * Zeroes a range and keeps its space (BLKZEROOUT), 64 MiB at a time: with a command of the device if it has one, by
   * writing otherwise. Rejects as `discard` does.
   */
  async zeroOut(range: BlockRange): Promise<void> {
    return this.#erase('zeroOut', range)
  }

  /**
   * Sets whether the device accepts writes (BLKROSET). Programs that have it open for writing already keep their
   * access. Rejects with `DM_PERMISSION`, `DM_CLOSED`.
   */
  async setReadOnly(readOnly: boolean, options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'setReadOnly')
    checkRequired('readOnly', readOnly)
    return this.#pending.run(() => this.#port.blockSetReadOnly(this.#handle, readOnly, options.signal))
  }

  /**
   * Waits until all writes are on the device and out of its cache (fsync). A write past the page cache is on the device
   * when it resolves, and survives a power loss after this call. Rejects with `DM_KERNEL` (EIO) if a write was lost.
   */
  async flush(options: BlockFlushOptions = {}): Promise<void> {
    checkOptions(options, ['dropCache', 'signal'], 'flush')
    const drop = checkBoolean('dropCache', options.dropCache)
    return this.#pending.run(() => this.#port.blockFlush(this.#handle, drop, options.signal))
  }

  /**
   * Makes the kernel read the partition table again (BLKRRPART). Rejects with `DM_BUSY` while a partition is in use,
   * and with `DM_UNSUPPORTED` if the device has no partitions (a loop device without `partitionScan`).
   */
  async rereadPartitions(options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'rereadPartitions')
    return this.#describe(() => this.#port.blockReread(this.#handle, options.signal))
  }

  /**
   * Reads a range, 1 MiB at a time, at most 1 GiB in all. An abort takes effect between two pieces. The returned buffer
   * is aligned, so that `write` does not need to copy it.
   *
   * Rejects with `DM_INVALID_ARGUMENT` (the range ends after the end of the device), `DM_KERNEL` (EIO …), `ABORT_ERR`.
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
   * Writes a buffer of any kind, 1 MiB at a time. A buffer that is not aligned is copied. The buffer must not be
   * changed or transferred before the call settles. An abort takes effect between two pieces; `detail` contains how
   * much was written.
   *
   * Rejects with `DM_INVALID_ARGUMENT` (the range, or opened read-only), `DM_KERNEL` (EIO, ENOSPC of a full thin pool
   * …), `ABORT_ERR`.
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

  /** Closes the device after the calls in progress. Idempotent. */
  async close(): Promise<void> {
    await this.#pending.close(() => this.#port.release(this.#handle))
  }

  /** Calls `close()`, for `await using`. */
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

/** Returns a zeroed buffer, up to 1 GiB, that reads and writes past the page cache use without a copy. */
export function alignedBuffer(lengthBytes: number): Buffer {
  const length = checkNumber('lengthBytes', lengthBytes, { min: 0, max: MAX_READ_BYTES })
  const memory = nativePort().alignedBuffer(length)
  return Buffer.from(memory.buffer, memory.byteOffset, memory.byteLength)
}
