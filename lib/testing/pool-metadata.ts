// What a pool's metadata says: thins, their mappings, how often each data block is mapped. The rules of
// drivers/md/dm-thin-metadata.c, without its disk.
import { ERRNO } from '../base/errors.js'

export interface Mapping {
  readonly block: number
  /** The snapshot clock when it was made: older than the thin's last snapshot means that it may be shared. */
  readonly time: number
}

export interface Thin {
  readonly id: number
  readonly mappings: Map<number, Mapping>
  readonly transactionId: bigint
  readonly creationTime: number
  snapshottedTime: number
}

/** What a metadata snapshot keeps. */
export interface HeldState {
  readonly transactionId: bigint
  readonly time: number
  readonly thins: readonly Thin[]
}

export interface PoolSizes {
  readonly blockSectors: number
  readonly dataBlocks: number
  readonly metadataBlocks: number
}

/** A refusal by errno; 0 is success, as the kernel's own functions have it. */
type Errno = number

export class PoolMetadata {
  readonly blockSectors: number
  readonly formattedMetadataBlocks: number
  dataBlocks: number
  metadataBlocks: number
  time = 0
  transactionId = 0n
  needsCheck = false
  held: HeldState | undefined
  readonly thins = new Map<number, Thin>()
  readonly #references = new Map<number, number>()
  #counted = 0
  /** No block below is free. */
  #firstFree = 0

  constructor(sizes: PoolSizes, formattedMetadataBlocks = sizes.metadataBlocks) {
    this.blockSectors = sizes.blockSectors
    this.dataBlocks = sizes.dataBlocks
    this.metadataBlocks = sizes.metadataBlocks
    this.formattedMetadataBlocks = formattedMetadataBlocks
  }

  get usedDataBlocks(): number {
    return this.#references.size
  }

  /** Blocks that are mapped more than twice: each has an entry in a tree of its own. */
  get countedBlocks(): number {
    return this.#counted
  }

  /** Data block -> how often it is mapped, by ascending block. */
  get references(): readonly (readonly [number, number])[] {
    return [...this.#references].sort(([a], [b]) => a - b)
  }

  createThin(id: number): Errno {
    if (this.thins.has(id)) return ERRNO.EEXIST
    this.addThin({ id, mappings: new Map(), transactionId: this.transactionId, ...this.#born() })
    return 0
  }

  createSnap(id: number, originId: number): Errno {
    const origin = this.thins.get(originId)
    if (this.thins.has(id)) return ERRNO.EEXIST
    if (!origin) return ERRNO.ENODATA
    this.time += 1
    origin.snapshottedTime = this.time
    const mappings = new Map(origin.mappings)
    this.addThin({ id, mappings, transactionId: this.transactionId, ...this.#born() })
    return 0
  }

  deleteThin(id: number): Errno {
    const thin = this.thins.get(id)
    if (!thin) return ERRNO.ENODATA
    this.thins.delete(id)
    this.#letGo(thin)
    return 0
  }

  setTransactionId(from: bigint, to: bigint): Errno {
    if (this.transactionId !== from) return ERRNO.EINVAL
    this.transactionId = to
    return 0
  }

  reserveMetadataSnap(): Errno {
    if (this.held) return ERRNO.EBUSY
    const thins = [...this.thins.values()].map(thin => ({ ...thin, mappings: new Map(thin.mappings) }))
    this.hold({ transactionId: this.transactionId, time: this.time, thins })
    return 0
  }

  releaseMetadataSnap(): Errno {
    if (!this.held) return ERRNO.EINVAL
    for (const thin of this.held.thins) this.#letGo(thin)
    this.held = undefined
    return 0
  }

  /** Takes over a thin with its mappings. */
  addThin(thin: Thin): void {
    this.thins.set(thin.id, thin)
    this.#take(thin)
  }

  /** What is held keeps its data blocks, whatever is deleted. */
  hold(held: HeldState): void {
    this.held = held
    for (const thin of held.thins) this.#take(thin)
  }

  /** The kernel goes by the clock alone: once shared, a block is copied although its other owner is gone. */
  isShared(thin: Thin, mapping: Mapping): boolean {
    return thin.snapshottedTime > mapping.time
  }

  /** Maps `virtual` to a block of its own; `from` is where the blocks to choose among begin. There must be a free one. */
  map(thin: Thin, virtual: number): number {
    while (this.#references.has(this.#firstFree)) this.#firstFree += 1
    const block = this.#firstFree
    const old = thin.mappings.get(virtual)
    thin.mappings.set(virtual, { block, time: this.time })
    this.#count(block, 1)
    if (old) this.#count(old.block, -1)
    return block
  }

  unmap(thin: Thin, virtual: number): void {
    const old = thin.mappings.get(virtual)
    if (!old) return
    thin.mappings.delete(virtual)
    this.#count(old.block, -1)
  }

  #born(): { creationTime: number; snapshottedTime: number } {
    return { creationTime: this.time, snapshottedTime: this.time }
  }

  #take(thin: Thin): void {
    for (const { block } of thin.mappings.values()) this.#count(block, 1)
  }

  #letGo(thin: Thin): void {
    for (const { block } of thin.mappings.values()) this.#count(block, -1)
  }

  #count(block: number, change: 1 | -1): void {
    const count = (this.#references.get(block) ?? 0) + change
    if (count === 3 && change === 1) this.#counted += 1
    if (count === 2 && change === -1) this.#counted -= 1
    if (count > 0) {
      this.#references.set(block, count)
      return
    }
    this.#references.delete(block)
    this.#firstFree = Math.min(this.#firstFree, block)
  }
}
