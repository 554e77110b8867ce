// The memory kernel: the object that tests pass as `kernel`, with controls for faults, modes and I/O.
import { resolve } from 'node:path'
import { PORT, type Kernel } from '../kernel/kernel-option.js'
import type { KernelPort } from '../kernel/port/kernel-port.js'
import { checkName, checkOptions, checkPath, checkNumber, invalid, shown } from '../base/options.js'
import type { CreatePoolOptions } from '../pool/lifecycle/pool-options.js'
import { KiB, MiB, SECTOR_BYTES } from '../base/units.js'
import { processOpener } from './block-device.js'
import type { ErrnoName, FaultOptions, Operation } from './faults.js'
import { MappedDevice } from './mapped-device.js'
import type { MemoryPool } from './memory-pool.js'
import { MemoryPort } from './memory-port.js'
import { MemoryState } from './memory-state.js'
import { WaitingIo, IoError, Refusal } from './refusal.js'

/** Options of `memoryKernel`. */
export interface MemoryKernelOptions {
  /** The number of data blocks of 64 KiB of a pool of `poolOptions()`. Default 1024 (64 MiB). */
  readonly dataBlocks?: number
  /** The size of the metadata of such a pool, in bytes. Default 4 MiB. */
  readonly metadataBytes?: number
}

/** A pool object, or the name of a pool. */
export type PoolRef =
  | string
  | {
      /** The name of the pool's mapped device. */
      readonly name: string
    }

/**
 * The mode of a pool. `rw`: reads and writes. `out_of_data_space`: writes to new blocks wait or fail.
 * `out_of_metadata_space`: reported as `ro`, but the metadata needs no check. `ro`: the state after a failed write of
 * the metadata, in which the metadata needs a check. `fail`: no I/O is served.
 */
export type SettableMode = 'rw' | 'out_of_data_space' | 'out_of_metadata_space' | 'ro' | 'fail'

/** The objects that are left in the memory kernel, for `expect(kernel.left()).toEqual({ … })` after a test. */
export interface Leftovers {
  /** The names of mapped devices. */
  readonly devices: readonly string[]
  /** The paths of loop devices, such as `/dev/loop0`. */
  readonly loops: readonly string[]
  /** The paths of files, in memory. */
  readonly files: readonly string[]
  /** The mount points. */
  readonly mounts: readonly string[]
}

const DATA_BLOCK_BYTES = 64 * KiB
/** The byte that `write` writes if only a length is passed. */
const FILLING = 0x5a
const CHUNK = 1 * MiB

/** A kernel in memory. It reads and changes nothing of the machine. It needs neither root nor Linux. */
export class MemoryKernel implements Kernel {
  readonly #state = new MemoryState()
  readonly #sizes: Required<MemoryKernelOptions>
  /** @hidden Opaque. */
  readonly [PORT]: KernelPort = new MemoryPort(this.#state)

  /** @internal */
  constructor(sizes: Required<MemoryKernelOptions>) {
    this.#sizes = sizes
  }

  /**
   * Returns options for `ThinPool.create`: this kernel, a name, and files of the sizes passed to `memoryKernel`. The same
   * name results in the same files, so that `ThinPool.open` finds the same pool. Default name `memory`.
   */
  poolOptions(name = 'memory'): CreatePoolOptions & {
    /** This kernel, on which the pool is created. */
    readonly kernel: Kernel
  } {
    checkName(name)
    const { dataBlocks, metadataBytes } = this.#sizes
    return {
      kernel: this,
      name,
      data: { file: `/memory/${name}-data.img`, sizeBytes: dataBlocks * DATA_BLOCK_BYTES },
      metadata: { file: `/memory/${name}-metadata.img`, sizeBytes: metadataBytes },
    }
  }

  /**
   * Injects a fault: the next call of an operation fails with an error of the kernel, for example
   * `kernel.fail('TARGET_MSG', 'ENOSPC')`. With `{ after: 2, times: 3 }`, the third, fourth and fifth call fail. Several
   * faults for one operation are used in the order in which they were injected.
   */
  fail(operation: Operation, errno: ErrnoName, options: FaultOptions = {}): void {
    checkOptions(options, ['after', 'times'], 'fail')
    this.#state.faults.order(operation, errno, options)
  }

  /** Removes the faults of `fail` that have not occurred. */
  clearFaults(): void {
    this.#state.faults.clear()
  }

  /** Sets the mode of a pool, from any mode. Raises an event if the mode changes. */
  setMode(pool: PoolRef, mode: SettableMode): void {
    const modes = ['rw', 'out_of_data_space', 'out_of_metadata_space', 'ro', 'fail']
    if (!modes.includes(mode)) throw invalid(`setMode: no mode ${shown(mode)}; known are ${modes.join(', ')}`)
    this.#onPool(pool, found => found.forceMode(mode))
  }

  /**
   * Allocates all free data blocks except `leaveBlocks` (default 0), as if others had written them. If no block is left,
   * the mode of the pool becomes `out_of_data_space`. The blocks belong to no volume, so `usage()` does not report them.
   */
  fill(
    pool: PoolRef,
    options: {
      /** The number of data blocks that stay free. Default 0. */
      readonly leaveBlocks?: number
    } = {},
  ): void {
    checkOptions(options, ['leaveBlocks'], 'fill')
    const leaveBlocks = checkNumber('leaveBlocks', options.leaveBlocks ?? 0, { min: 0 })
    this.#onPool(pool, found => found.fill(leaveBlocks))
  }

  /** Frees the blocks that `fill` allocated. */
  drain(pool: PoolRef): void {
    this.#onPool(pool, found => found.drain())
  }

  /**
   * Ends the wait for space, as the kernel does after a minute: writes that wait fail with `ENOSPC`, and the status reports
   * it.
   */
  expireNoSpace(pool: PoolRef): void {
    this.#onPool(pool, found => found.expireNoSpace())
  }

  /**
   * Sets the free space of the file system below all files, in bytes. It does not shrink when files grow. Default: no
   * limit.
   */
  setFreeFileSpace(freeBytes: number): void {
    checkNumber('freeBytes', freeBytes, { min: 0 })
    this.#state.storage.space = { ...this.#state.storage.space, freeBytes }
  }

  /** Raises an event on a device, by its name. */
  raiseEvent(device: string): void {
    this.#state.mapper.raise(this.#mapped(device))
  }

  /**
   * Writes to the node of a device (`volume.path`), or to a file of this kernel, and flushes. `content` is the bytes, or
   * their number. Blocks are allocated and copied as in the kernel. Waits for space or for a resume, as a write does in the
   * kernel. Rejects with an error whose `code` is `EIO`, `ENOSPC` or `EPERM`.
   */
  async write(path: string, offsetBytes: number, content: Uint8Array | number): Promise<void> {
    const length = typeof content === 'number' ? content : content.length
    checkNumber('offsetBytes', offsetBytes, { min: 0 })
    checkNumber('content', length, { min: 0 })
    for (let at = 0; at < length; at += CHUNK) {
      const count = Math.min(CHUNK, length - at)
      const part = typeof content === 'number' ? new Uint8Array(count).fill(FILLING) : content.subarray(at, at + count)
      await this.#io('write', path, offsetBytes + at, count, bytes => bytes.write(offsetBytes + at, part))
    }
    this.#state.changes.announce()
  }

  /**
   * Reads from the node of a device, or from a file of this kernel. Rejects with an error whose `code` is `EIO` if the
   * pool has failed.
   */
  async read(path: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    checkNumber('offsetBytes', offsetBytes, { min: 0 })
    checkNumber('lengthBytes', lengthBytes, { min: 0 })
    return this.#io('read', path, offsetBytes, lengthBytes, bytes => bytes.read(offsetBytes, lengthBytes))
  }

  /**
   * Discards a range of a device. Blocks that are completely in the range are unmapped. Rejects with an error whose
   * `code` is `EOPNOTSUPP` if the device does not support discards.
   */
  async discard(path: string, offsetBytes: number, lengthBytes: number): Promise<void> {
    await this.#state.untilResumed(path)
    const device = this.#state.node(path)
    if (device instanceof MappedDevice) device.discard(offsetBytes, lengthBytes)
    else throw new IoError('EOPNOTSUPP')
    this.#state.changes.announce()
  }

  /** Opens a device, as a program would. The device is busy until the returned function is called. */
  hold(path: string): () => void {
    const device = this.#state.node(path)
    if (!device) throw invalid(`hold: no device ${shown(path)} in this kernel`)
    const close = device.open(processOpener())
    return () => {
      close()
      this.#state.changes.announce()
    }
  }

  /** Creates a sparse file. Paths are names in memory. */
  addFile(path: string, sizeBytes: number): void {
    const where = resolve(checkPath('path', path))
    checkNumber('sizeBytes', sizeBytes, { min: 0 })
    if (this.#state.storage.file(where)) throw invalid(`addFile: ${shown(path)} exists`)
    this.#state.storage.addFile(where, sizeBytes)
  }

  /** Returns the objects that are left in this kernel. */
  left(): Leftovers {
    const { mapper, storage, mounts } = this.#state
    return {
      devices: mapper.devices.map(({ name }) => name),
      loops: storage.loops.map(loop => loop.path),
      files: storage.files,
      mounts: mounts.map(({ target }) => target),
    }
  }

  async #io<T>(
    operation: 'read' | 'write',
    node: string,
    offset: number,
    length: number,
    act: (bytes: { read(at: number, count: number): Uint8Array; write(at: number, content: Uint8Array): void }) => T,
  ): Promise<T> {
    await this.#state.untilResumed(node)
    return this.#state.changes
      .until(() => {
        const bytes = this.#content(node)
        if (offset + length > bytes.sizeBytes) {
          throw operation === 'write' ? new IoError('ENOSPC') : invalid(`read: ${shown(node)} ends before`)
        }
        this.#state.faults.pass(operation)
        try {
          return { value: act(bytes) }
        } catch (fault) {
          if (fault instanceof WaitingIo) return undefined
          throw fault
        }
      })
      .then(({ value }) => value)
  }

  #content(node: string) {
    try {
      return this.#state.content(node.startsWith('/dev/') ? node : resolve(node))
    } catch (fault) {
      throw fault instanceof Refusal ? fault.toError() : fault
    }
  }

  #onPool(pool: PoolRef, act: (found: MemoryPool) => void): void {
    const name = typeof pool === 'string' ? pool : pool.name
    const found = this.#state.mapper.poolOf(this.#mapped(name))
    if (!found) throw invalid(`${shown(name)} is not a pool of this kernel`)
    act(found)
    this.#state.changes.announce()
  }

  #mapped(name: string): MappedDevice {
    const device = this.#state.mapper.find({ name })
    if (!device) throw invalid(`no device ${shown(name)} in this kernel`)
    return device
  }
}

/**
 * Creates an empty kernel in memory. Pass it as `kernel` to the calls that have this option: `ThinPool.create`,
 * `ThinPool.open`, `LoopDevice`, `mount`, `DeviceMapper.open`. docs/testing.md lists what it does not support.
 */
export function memoryKernel(options: MemoryKernelOptions = {}): MemoryKernel {
  checkOptions(options, ['dataBlocks', 'metadataBytes'], 'memoryKernel')
  const sizes = {
    dataBlocks: checkNumber('dataBlocks', options.dataBlocks ?? 1024, { min: 1, max: 2 ** 32 }),
    metadataBytes: checkNumber('metadataBytes', options.metadataBytes ?? 4 * MiB, {
      min: 2 * MiB,
      multipleOf: SECTOR_BYTES,
    }),
  }
  return new MemoryKernel(sizes)
}
