// The kernel that users' tests import: an object to pass as `kernel`, and the hands to move it with.
import path from 'node:path'
import { PORT, type Kernel } from '../kernel/kernel-option.js'
import { checkName, checkOptions, checkPath, checkNumber, invalid, shown } from '../base/options.js'
import type { CreatePoolOptions } from '../pool/lifecycle/options.js'
import { KiB, MiB, SECTOR_BYTES } from '../base/units.js'
import { processOpener } from './block-device.js'
import type { ErrnoName, FaultOptions, Operation } from './faults.js'
import { MappedDevice } from './mapped-device.js'
import type { MemoryPool } from './memory-pool.js'
import { MemoryPort } from './memory-port.js'
import { MemoryState } from './memory-state.js'
import { HeldBack, IoError, Refusal } from './refusal.js'

/** Options of `memoryKernel`. */
export interface MemoryKernelOptions {
  /** How many data blocks of 64 KiB a pool of `poolOptions()` has. Default 1024: 64 MiB. */
  readonly dataBlocks?: number
  /** How much metadata it has, in bytes. Default 4 MiB. */
  readonly metadataBytes?: number
}

/** A pool, or its name. */
export type PoolRef = string | { readonly name: string }

/**
 * `ro`: as after a failed write of the metadata, which then needs a check. `out_of_metadata_space` shows as `ro` too,
 * without that.
 */
export type SettableMode = 'rw' | 'out_of_data_space' | 'out_of_metadata_space' | 'ro' | 'fail'

/** What is left in the memory kernel: for `expect(kernel.left()).toEqual({ … })` after a test. */
export interface Leftovers {
  /** Names of mapped devices. */
  readonly devices: readonly string[]
  /** `/dev/loop0` … */
  readonly loops: readonly string[]
  readonly files: readonly string[]
  /** Mount points. */
  readonly mounts: readonly string[]
}

const DATA_BLOCK_BYTES = 64 * KiB
/** What `write` writes where only a length is given. */
const FILLING = 0x5a
const CHUNK = 1 * MiB

/** A kernel in memory. Nothing of the machine is read or changed; neither root nor Linux is needed. */
export interface MemoryKernel extends Kernel {
  /**
   * Options for `ThinPool.create`: this kernel, a name, and files of the sizes given to `memoryKernel`. With the same
   * name again they open the same pool.
   */
  poolOptions(name?: string): CreatePoolOptions & { readonly kernel: Kernel }

  /**
   * The next call of an operation fails with an error of the kernel. `kernel.fail('TARGET_MSG', 'ENOSPC')`;
   * `{ after: 2, times: 3 }`: the third, fourth and fifth. Several orders for one operation are served one by one.
   */
  fail(operation: Operation, errno: ErrnoName, options?: FaultOptions): void
  /** Removes the faults of `fail` that have not occurred. */
  clearFaults(): void

  /** Puts a pool into a mode, whatever it is in, and raises the event that goes with it. */
  setMode(pool: PoolRef, mode: SettableMode): void
  /**
   * Takes all free data blocks, as if others had written them; the pool is then `out_of_data_space`, unless
   * `leaveBlocks` are left. The blocks belong to no volume, so `usage()` does not show them.
   */
  fill(pool: PoolRef, options?: { readonly leaveBlocks?: number }): void
  /** Gives back what `fill` took. */
  drain(pool: PoolRef): void
  /** What the kernel does after a minute without space: writes that wait fail with `ENOSPC`, and the status says so. */
  expireNoSpace(pool: PoolRef): void
  /** Raises an event on a device, by its name. */
  raiseEvent(device: string): void

  /**
   * Writes to a device's node (`volume.path`), or a file of this kernel: bytes, or a length. Flushes. Blocks are
   * allocated and copied as in the kernel. Waits as a write would: for space, or for a resume. Rejects with an error
   * whose `code` is `EIO`, `ENOSPC` or `EPERM`.
   */
  write(path: string, offsetBytes: number, content: Uint8Array | number): Promise<void>
  /** Reads from a device's node, or a file of this kernel. */
  read(path: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array>
  /** Discards: blocks that are covered whole are unmapped. */
  discard(path: string, offsetBytes: number, lengthBytes: number): Promise<void>
  /** Keeps a device open, as a program would: it is busy until the function that this gives is called. */
  hold(path: string): () => void

  /** Makes a file, sparse. Paths are names in memory. */
  addFile(path: string, sizeBytes: number): void
  /** Returns what is left in this kernel. */
  left(): Leftovers
}

class InMemory implements MemoryKernel {
  readonly #state = new MemoryState()
  readonly #sizes: Required<MemoryKernelOptions>
  readonly [PORT] = new MemoryPort(this.#state)

  constructor(sizes: Required<MemoryKernelOptions>) {
    this.#sizes = sizes
  }

  poolOptions(name = 'memory'): CreatePoolOptions & { readonly kernel: Kernel } {
    checkName(name)
    const { dataBlocks, metadataBytes } = this.#sizes
    return {
      kernel: this,
      name,
      data: { file: `/memory/${name}-data.img`, sizeBytes: dataBlocks * DATA_BLOCK_BYTES },
      metadata: { file: `/memory/${name}-metadata.img`, sizeBytes: metadataBytes },
    }
  }

  fail(operation: Operation, errno: ErrnoName, options: FaultOptions = {}): void {
    checkOptions(options, ['after', 'times'], 'fail')
    this.#state.faults.order(operation, errno, options)
  }

  clearFaults(): void {
    this.#state.faults.clear()
  }

  setMode(pool: PoolRef, mode: SettableMode): void {
    const modes = ['rw', 'out_of_data_space', 'out_of_metadata_space', 'ro', 'fail']
    if (!modes.includes(mode)) throw invalid(`setMode: no mode ${shown(mode)}; known are ${modes.join(', ')}`)
    this.#onPool(pool, found => found.forceMode(mode))
  }

  fill(pool: PoolRef, options: { readonly leaveBlocks?: number } = {}): void {
    checkOptions(options, ['leaveBlocks'], 'fill')
    const leaveBlocks = checkNumber('leaveBlocks', options.leaveBlocks ?? 0, { min: 0 })
    this.#onPool(pool, found => found.take(leaveBlocks))
  }

  drain(pool: PoolRef): void {
    this.#onPool(pool, found => found.giveBack())
  }

  expireNoSpace(pool: PoolRef): void {
    this.#onPool(pool, found => found.expireNoSpace())
  }

  raiseEvent(device: string): void {
    this.#state.mapper.raise(this.#mapped(device))
  }

  async write(node: string, offsetBytes: number, content: Uint8Array | number): Promise<void> {
    const length = typeof content === 'number' ? content : content.length
    checkNumber('offsetBytes', offsetBytes, { min: 0 })
    checkNumber('content', length, { min: 0 })
    for (let at = 0; at < length; at += CHUNK) {
      const count = Math.min(CHUNK, length - at)
      const part = typeof content === 'number' ? new Uint8Array(count).fill(FILLING) : content.subarray(at, at + count)
      await this.#io('write', node, offsetBytes + at, count, bytes => bytes.write(offsetBytes + at, part))
    }
    this.#state.changes.announce()
  }

  async read(node: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    checkNumber('offsetBytes', offsetBytes, { min: 0 })
    checkNumber('lengthBytes', lengthBytes, { min: 0 })
    return this.#io('read', node, offsetBytes, lengthBytes, bytes => bytes.read(offsetBytes, lengthBytes))
  }

  async discard(node: string, offsetBytes: number, lengthBytes: number): Promise<void> {
    await this.#state.untilResumed(node)
    const device = this.#state.node(node)
    if (device instanceof MappedDevice) device.discard(offsetBytes, lengthBytes)
    else throw new IoError('EOPNOTSUPP')
    this.#state.changes.announce()
  }

  hold(node: string): () => void {
    const device = this.#state.node(node)
    if (!device) throw invalid(`hold: no device ${shown(node)} in this kernel`)
    const close = device.open(processOpener())
    return () => {
      close()
      this.#state.changes.announce()
    }
  }

  addFile(file: string, sizeBytes: number): void {
    const where = path.resolve(checkPath('path', file))
    checkNumber('sizeBytes', sizeBytes, { min: 0 })
    if (this.#state.storage.file(where)) throw invalid(`addFile: ${shown(file)} exists`)
    this.#state.storage.addFile(where, sizeBytes)
  }

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
          if (fault instanceof HeldBack) return undefined
          throw fault
        }
      })
      .then(({ value }) => value)
  }

  #content(node: string) {
    try {
      return this.#state.content(node.startsWith('/dev/') ? node : path.resolve(node))
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
 * Makes a kernel in memory, empty. Pass it as `kernel` where a call takes one: `ThinPool.create`, `ThinPool.open`,
 * `LoopDevice`, `mount`, `DeviceMapper.open`. What it leaves out is in docs/testing.md.
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
  return new InMemory(sizes)
}
