// A thin pool in memory: modes, space, reads and writes. Its rules are those of drivers/md/dm-thin.c.
import { ERRNO } from '../base/errors.js'
import { MAX_METADATA_BLOCKS, METADATA_BLOCK_BYTES } from '../metadata/block-source.js'
import type { PoolTable } from '../target/thin-pool.js'
import { SECTOR_BYTES } from '../base/units.js'
import { isBlank, loadMetadata } from './metadata-loader.js'
import { metadataBlocksOf, writeMetadata } from './metadata-writer.js'
import { PoolMetadata, type Thin } from './pool-metadata.js'
import { WaitingIo, IoError, TableRefusal } from './refusal.js'
import type { Bytes } from './sparse-bytes.js'

/** The modes of the kernel, from best to worst. `out_of_metadata_space` is reported as `ro`. */
const MODES = ['rw', 'out_of_data_space', 'out_of_metadata_space', 'ro', 'fail'] as const
export type Mode = (typeof MODES)[number]

/** The limit of the reserve for commits: 16 MiB, or a tenth if that is less (dm-thin-metadata.c __set_metadata_reserve). */
const MAX_RESERVE = 4096
/** The limit of free metadata blocks at which the kernel raises its event (dm-thin.c calc_metadata_threshold). */
const MAX_LOW_METADATA = 1024
const CHUNK = 1024 * 1024

const metadataBlocksIn = (metadata: Bytes): number =>
  Math.min(Math.floor(metadata.sizeBytes / METADATA_BLOCK_BYTES), MAX_METADATA_BLOCKS)

/** A running thin pool. */
export class MemoryPool {
  readonly state: PoolMetadata
  readonly #metadata: Bytes
  readonly #data: Bytes
  readonly #opened = new Map<number, number>()
  #mode: Mode = 'rw'
  #table: PoolTable | undefined
  #errorIfNoSpace = false
  #lowWaterTold = false
  #stale = true
  /** The number of allocated blocks that belong to no volume: see `fill` of the memory kernel. */
  #filled = 0
  suspended = false
  /** Raises an event on the pool's device. */
  onEvent: () => void = () => {}

  /** Formats blank metadata, as the kernel does without being asked to. */
  constructor(metadata: Bytes, data: Bytes, blockSectors: number) {
    this.#metadata = metadata
    this.#data = data
    const sizes = { blockSectors, dataBlocks: 0, metadataBlocks: metadataBlocksIn(metadata) }
    this.state = isBlank(metadata) ? new PoolMetadata(sizes) : loadMetadata(metadata)
    if (this.state.blockSectors !== blockSectors) throw new TableRefusal(ERRNO.EINVAL, 'Error creating metadata object')
    this.sync()
  }

  get mode(): Mode {
    return this.#mode
  }

  get blockBytes(): number {
    return this.state.blockSectors * SECTOR_BYTES
  }

  get freeDataBlocks(): number {
    return Math.max(0, this.state.dataBlocks - this.state.usedDataBlocks - this.#filled)
  }

  get ignoresDiscard(): boolean {
    return this.#table?.ignoreDiscard === true
  }

  /**
   * Makes a table live. The mode stays if the table is live already. Returns an errno if the pool cannot be resumed with the
   * table.
   */
  bind(table: PoolTable): number {
    if (table !== this.#table) {
      this.#table = table
      this.#errorIfNoSpace = table.errorIfNoSpace
      this.setMode(table.readOnly ? 'ro' : 'rw')
    }
    const before = [this.state.dataBlocks, this.state.metadataBlocks]
    const errno = this.#resize(table)
    if (this.#mode !== 'fail' && errno !== 0) return errno
    if (before[0] !== this.state.dataBlocks || before[1] !== this.state.metadataBlocks) this.commit()
    return 0
  }

  resumed(): void {
    this.suspended = false
    this.#lowWaterTold = false
  }

  setMode(wanted: Mode): void {
    const old = this.#mode
    let mode = wanted
    if (mode === 'rw' && this.state.needsCheck) mode = old === 'rw' ? 'ro' : old
    if (old === 'fail') mode = 'fail'
    if (mode === 'rw') this.#errorIfNoSpace = this.#table?.errorIfNoSpace === true
    this.#mode = mode
    if (mode !== old) this.onEvent()
  }

  /** Sets any mode from any mode, for tests. In `ro` and `fail` the metadata needs a check. */
  forceMode(mode: Mode): void {
    this.state.needsCheck = mode === 'ro' || mode === 'fail'
    const changed = this.#mode !== mode
    this.#mode = mode
    this.#stale = true
    if (changed) this.onEvent()
  }

  /** Ends the wait for space, as the kernel does after a minute: writes fail with ENOSPC, and the status reports it. */
  expireNoSpace(): void {
    if (this.#mode === 'out_of_data_space') this.#errorIfNoSpace = true
  }

  /** Allocates all free blocks but `leaveBlocks`, for no volume. If no block is left, behaves as if another write was tried. */
  fill(leaveBlocks: number): void {
    this.#filled += Math.max(0, this.freeDataBlocks - leaveBlocks)
    if (leaveBlocks === 0 && this.#mode === 'rw') this.#allocate()
  }

  drain(): void {
    this.#filled = 0
    this.commit()
  }

  commit(): void {
    this.#stale = true
    if (MODES.indexOf(this.#mode) >= MODES.indexOf('out_of_metadata_space')) return
    const broken = this.#brokenMetadata()
    if (broken) return this.forceMode(broken)
    const space = this.#freeMetadataBlocks()
    if (space === 0) this.setMode('out_of_metadata_space')
    if (this.#mode === 'out_of_data_space' && this.freeDataBlocks > 0) this.setMode('rw')
  }

  /** Writes the metadata to its device if it has changed. */
  sync(): void {
    if (!this.#stale || this.#mode === 'fail' || this.#brokenMetadata()) return
    this.#stale = false
    for (const [block, content] of writeMetadata(this.state)) {
      this.#metadata.write(block * METADATA_BLOCK_BYTES, content)
    }
  }

  /** Processes the words of a message. Returns an errno. */
  message(words: readonly string[]): number {
    if (MODES.indexOf(this.#mode) >= MODES.indexOf('out_of_metadata_space')) return ERRNO.EOPNOTSUPP
    const errno = this.#runMessage((words[0] ?? '').toLowerCase(), words.slice(1))
    if (errno === 0) this.commit()
    return errno
  }

  openThin(id: number): { readonly thin: Thin; readonly close: () => void } {
    if (this.#mode === 'fail') throw new TableRefusal(ERRNO.EINVAL, "Couldn't open thin device, Pool is in fail mode")
    const thin = this.state.thins.get(id)
    if (!thin) throw new TableRefusal(ERRNO.ENODATA, "Couldn't open thin internal device")
    if (this.suspended) throw new TableRefusal(ERRNO.EINVAL, 'Unable to activate thin device while pool is suspended')
    this.#opened.set(id, (this.#opened.get(id) ?? 0) + 1)
    return { thin, close: () => void this.#opened.set(id, this.#opened.get(id)! - 1) }
  }

  status(): string {
    if (this.#mode === 'fail' || !this.#table) return 'Fail'
    const { state } = this
    const total = state.metadataBlocks
    const used = total - this.#freeMetadataBlocks()
    const usedData = state.dataBlocks - this.freeDataBlocks
    const mode = this.#mode === 'out_of_metadata_space' ? 'ro' : this.#mode
    const { ignoreDiscard, noDiscardPassdown } = this.#table
    const discard = ignoreDiscard ? 'ignore' : noDiscardPassdown ? 'no_discard_passdown' : 'discard_passdown'
    return [
      `${state.transactionId} ${used}/${total} ${usedData}/${state.dataBlocks} ${state.held ? 1 : '-'} ${mode}`,
      discard === 'ignore' ? 'ignore_discard' : discard,
      this.#errorIfNoSpace ? 'error_if_no_space' : 'queue_if_no_space',
      state.needsCheck ? 'needs_check' : '-',
      `${Math.min(MAX_LOW_METADATA, Math.floor(total / 4))} `,
    ].join(' ')
  }

  /** Reads from a thin. Unmapped blocks are those of the external origin, with zeros after its end. */
  read(thin: Thin, offset: number, length: number, origin?: Bytes): Uint8Array {
    if (this.#mode === 'fail') throw new IoError('EIO')
    const content = new Uint8Array(length)
    for (const { virtual, inBlock, at, count } of this.#blocksOf(offset, length)) {
      const mapping = thin.mappings.get(virtual)
      if (mapping) content.set(this.#data.read(mapping.block * this.blockBytes + inBlock, count), at)
      else if (origin) content.set(upToEnd(origin, offset + at, count), at)
    }
    return content
  }

  write(thin: Thin, offset: number, content: Uint8Array, origin?: Bytes): void {
    try {
      for (const { virtual, inBlock, at, count } of this.#blocksOf(offset, content.length)) {
        const block = this.#blockToWrite(thin, virtual, count, origin)
        this.#data.write(block * this.blockBytes + inBlock, content.subarray(at, at + count))
      }
    } finally {
      this.commit()
    }
    if (this.mode === 'fail') throw new IoError('EIO')
  }

  /** Unmaps the blocks that are completely in the range. */
  discard(thin: Thin, offset: number, length: number): void {
    if (this.ignoresDiscard) throw new IoError('EOPNOTSUPP')
    if (this.#mode !== 'rw') throw new IoError('EIO')
    for (const { virtual, count } of this.#blocksOf(offset, length)) {
      if (count === this.blockBytes) this.state.unmap(thin, virtual)
    }
    this.commit()
  }

  #blockToWrite(thin: Thin, virtual: number, count: number, origin?: Bytes): number {
    if (this.#mode === 'fail') throw new IoError('EIO')
    const old = thin.mappings.get(virtual)
    if (old && !this.state.isShared(thin, old)) return old.block
    this.#allocate()
    if (this.#mode !== 'rw') throw this.#unserviceable()
    const block = this.state.map(thin, virtual)
    if (count === this.blockBytes) return block
    if (old) this.#copy(old.block, block)
    else if (origin) this.#copyFrom(origin, virtual, block)
    else if (!this.#table?.skipBlockZeroing) this.#zero(block)
    return block
  }

  /** Checks for a free block, as an allocation does. Raises the low-water event. Changes the mode if no block is free. */
  #allocate(): void {
    if (this.#mode !== 'rw') return
    const free = this.freeDataBlocks
    if (free <= (this.#table?.lowWaterBlocks ?? 0) && !this.#lowWaterTold) {
      this.#lowWaterTold = true
      this.onEvent()
    }
    if (free === 0) this.setMode('out_of_data_space')
  }

  #unserviceable(): Error {
    if (this.#mode !== 'out_of_data_space') return new IoError('EIO')
    return this.#errorIfNoSpace ? new IoError('ENOSPC') : new WaitingIo('no space in the pool')
  }

  #copy(from: number, to: number): void {
    this.#copyFrom(this.#data, from, to)
  }

  #copyFrom(source: Bytes, from: number, to: number): void {
    for (let at = 0; at < this.blockBytes; at += CHUNK) {
      const count = Math.min(CHUNK, this.blockBytes - at)
      this.#data.write(to * this.blockBytes + at, upToEnd(source, from * this.blockBytes + at, count))
    }
  }

  #zero(block: number): void {
    for (let at = 0; at < this.blockBytes; at += CHUNK) {
      const count = Math.min(CHUNK, this.blockBytes - at)
      const where = block * this.blockBytes + at
      if (this.#data.read(where, count).some(byte => byte !== 0)) this.#data.write(where, new Uint8Array(count))
    }
  }

  /** Returns `ro` if a commit cannot be written, and `fail` if the metadata cannot even be read to roll back. */
  #brokenMetadata(): 'ro' | 'fail' | undefined {
    const attempt = <T>(act: () => T): T | undefined => {
      try {
        return act()
      } catch (fault) {
        if (fault instanceof IoError) return undefined
        throw fault
      }
    }
    const first = attempt(() => this.#metadata.read(0, METADATA_BLOCK_BYTES))
    if (!first) return 'fail'
    return attempt(() => (this.#metadata.write(0, first), true)) ? undefined : 'ro'
  }

  *#blocksOf(offset: number, length: number) {
    for (let at = 0; at < length;) {
      const virtual = Math.floor((offset + at) / this.blockBytes)
      const inBlock = (offset + at) % this.blockBytes
      const count = Math.min(this.blockBytes - inBlock, length - at)
      yield { virtual, inBlock, at, count }
      at += count
    }
  }

  #freeMetadataBlocks(): number {
    const total = this.state.metadataBlocks
    const reserve = Math.min(MAX_RESERVE, Math.floor(total / 10))
    return Math.max(0, total - metadataBlocksOf(this.state) - reserve)
  }

  /**
   * Resizes the pool, as dm-thin.c maybe_resize_data_dev and maybe_resize_metadata_dev do. Like the kernel, silently does not
   * grow a pool whose metadata needs a check.
   */
  #resize(table: PoolTable): number {
    const dataBlocks = Math.floor(table.lengthSectors / this.state.blockSectors)
    const metadataBlocks = metadataBlocksIn(this.#metadata)
    if (dataBlocks < this.state.dataBlocks || metadataBlocks < this.state.metadataBlocks) return ERRNO.EINVAL
    if (this.state.needsCheck) return 0
    this.state.dataBlocks = dataBlocks
    this.state.metadataBlocks = metadataBlocks
    return 0
  }

  #runMessage(command: string, words: readonly string[]): number {
    const arity = ARITY[command]
    if (arity === undefined || words.length !== arity) return ERRNO.EINVAL
    if (command === 'reserve_metadata_snap') return this.state.reserveMetadataSnap()
    if (command === 'release_metadata_snap') return this.state.releaseMetadataSnap()
    if (command === 'set_transaction_id') {
      if (!words.every(word => NUMBER.test(word))) return ERRNO.EINVAL
      return this.state.setTransactionId(decimal(words[0]!), decimal(words[1]!))
    }
    const [id, origin] = words.map(deviceId)
    if (id === undefined) return ERRNO.EINVAL
    if (command === 'create_thin') return this.state.createThin(id)
    if (command === 'delete') return (this.#opened.get(id) ?? 0) > 0 ? ERRNO.EBUSY : this.state.deleteThin(id)
    return origin === undefined ? ERRNO.EINVAL : this.state.createSnap(id, origin)
  }
}

/** Reads a range. The bytes after the end of the source are zeros. */
function upToEnd(source: Bytes, offset: number, length: number): Uint8Array {
  const content = new Uint8Array(length)
  const there = Math.min(length, source.sizeBytes - offset)
  if (there > 0) content.set(source.read(offset, there))
  return content
}

const ARITY: Record<string, number> = {
  create_thin: 1,
  create_snap: 2,
  delete: 1,
  set_transaction_id: 2,
  reserve_metadata_snap: 0,
  release_metadata_snap: 0,
}

/** The decimal numbers that kstrtoull accepts, without the check for overflow. */
const NUMBER = /^\+?\d{1,20}$/
const decimal = (word: string): bigint => BigInt(word.replace('+', ''))

/** Parses a device id of 24 bits. Returns undefined if the word is not a valid id. */
export function deviceId(word: string): number | undefined {
  const id = NUMBER.test(word) ? Number(word) : Infinity
  return id < 2 ** 24 ? id : undefined
}
