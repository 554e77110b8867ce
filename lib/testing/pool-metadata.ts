// The content of a pool's metadata: thins, their mappings, and the reference count of each data block. Its rules are those of
// drivers/md/dm-thin-metadata.c, without the disk.
import { ERRNO } from '../base/errors.js'

export interface Mapping {
  readonly block: number
  /** The snapshot clock at its creation. If it is older than the last snapshot of the thin, the block may be shared. */
  readonly time: number
}

export interface Thin {
  readonly id: number
  readonly mappings: Map<number, Mapping>
  readonly transactionId: bigint
  readonly creationTime: number
  snapshottedTime: number
}

/** The content of a metadata snapshot. */
interface HeldState {
  readonly transactionId: bigint
  readonly time: number
  readonly thins: readonly Thin[]
}

interface PoolSizes {
  readonly blockSectors: number
  readonly dataBlocks: number
  readonly metadataBlocks: number
}

/** An errno, or 0 for success, as in functions of the kernel. */
type Errno = number

/** The metadata of a pool. */
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
  /** A block number below which no block is free. */
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

  /** The number of blocks that are mapped more than twice. Each of them has an entry in the tree of counts. */
  get countedBlocks(): number {
    return this.#counted
  }

  /** The data blocks and their reference counts, in ascending order of blocks. */
  get references(): readonly (readonly [number, number])[] {
    return [...this.#references].sort(([a], [b]) => a - b)
  }

  createThin(id: number): Errno {
    if (this.thins.has(id)) return ERRNO.EEXIST
    this.addThin({ id, mappings: new Map(), transactionId: this.transactionId, ...this.#newTimes() })
    return 0
  }

  createSnap(id: number, originId: number): Errno {
    const origin = this.thins.get(originId)
    if (this.thins.has(id)) return ERRNO.EEXIST
    if (!origin) return ERRNO.ENODATA
    this.time += 1
    origin.snapshottedTime = this.time
    const mappings = new Map(origin.mappings)
    this.addThin({ id, mappings, transactionId: this.transactionId, ...this.#newTimes() })
    return 0
  }

  deleteThin(id: number): Errno {
    const thin = this.thins.get(id)
    if (!thin) return ERRNO.ENODATA
    this.thins.delete(id)
    this.#dereference(thin)
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
    for (const thin of this.held.thins) this.#dereference(thin)
    this.held = undefined
    return 0
  }

  /** Adds a thin with its mappings. */
  addThin(thin: Thin): void {
    this.thins.set(thin.id, thin)
    this.#reference(thin)
  }

  /** Holds a metadata snapshot. Its data blocks stay allocated if its thins are deleted. */
  hold(held: HeldState): void {
    this.held = held
    for (const thin of held.thins) this.#reference(thin)
  }

  /** Returns whether a block counts as shared. The kernel uses only the clock: the other owner may have been deleted. */
  isShared(thin: Thin, mapping: Mapping): boolean {
    return thin.snapshottedTime > mapping.time
  }

  /** Maps `virtual` to the first free data block, and returns it. There must be a free block. */
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

  #newTimes(): { creationTime: number; snapshottedTime: number } {
    return { creationTime: this.time, snapshottedTime: this.time }
  }

  #reference(thin: Thin): void {
    for (const { block } of thin.mappings.values()) this.#count(block, 1)
  }

  #dereference(thin: Thin): void {
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
