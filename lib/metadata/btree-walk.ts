// Walks of B-trees, level by level and in batches of reads.
import { throwIfAborted } from '../base/errors.js'
import { type BlockSource, METADATA_BLOCK_BYTES, READ_BATCH } from './block-source.js'
import { type BtreeNode, parseNode } from './btree.js'
import { corruptBlock } from './metadata-error.js'

/**
 * The maximum depth of a tree, in levels. Nodes other than a root are at least a third full (84 entries), so that seven
 * levels suffice for 2^40 blocks; a deeper tree contains a loop.
 */
export const MAX_LEVELS = 12

/** The options of a {@link NodeReader} besides its source. */
export interface NodeReaderOptions {
  /** Metadata blocks in use, from the superblock. */
  readonly metadataBlocks: number
  readonly signal?: AbortSignal | undefined
  /** Number of cached nodes, 4 KiB each. Default 2048 (8 MiB); 0: no cache. */
  readonly cachedNodes?: number | undefined
}

/** A reader of checked tree nodes. Belongs to one attempt at a read: its cache is valid for one commit only. */
export class NodeReader {
  readonly metadataBlocks: number
  private readonly signal: AbortSignal | undefined
  private readonly room: number
  private readonly cache = new Map<number, BtreeNode>()

  constructor(
    private readonly source: BlockSource,
    options: NodeReaderOptions,
  ) {
    this.metadataBlocks = options.metadataBlocks
    this.signal = options.signal
    this.room = options.cachedNodes ?? 2048
  }

  /**
   * Reads distinct blocks as tree nodes and yields them in the order requested, a batch at a time. Within a batch the
   * blocks are read in disk order, which makes spinning and striped devices fast.
   */
  async *read(blocks: readonly number[], leafValueBytes: number): AsyncGenerator<BtreeNode> {
    for (let start = 0; start < blocks.length; start += READ_BATCH) {
      throwIfAborted(this.signal)
      const batch = blocks.slice(start, start + READ_BATCH)
      const nodes = await this.readBatch(batch, leafValueBytes)
      for (const block of batch) yield nodes.get(block)!
    }
  }

  private async readBatch(batch: readonly number[], leafValueBytes: number): Promise<Map<number, BtreeNode>> {
    const nodes = new Map<number, BtreeNode>()
    const missing: number[] = []
    for (const block of batch) {
      const node = this.cache.get(block)
      // A block cached from one kind of tree and reached from another is read again, so that its checks fail.
      if (node && (!node.leaf || node.valueBytes === leafValueBytes)) nodes.set(block, node)
      else missing.push(block)
    }
    if (missing.length === 0) return nodes
    missing.sort((a, b) => a - b)
    const contents = await readBlocks(this.source, missing)
    for (const [i, block] of missing.entries()) {
      const node = parseNode(contents[i]!, block, { leafValueBytes, metadataBlocks: this.metadataBlocks })
      nodes.set(block, node)
      if (this.cache.size < this.room) this.cache.set(block, node)
    }
    return nodes
  }
}

/** Reads blocks and checks the source's result, because every later check relies on the length. */
export async function readBlocks(source: BlockSource, blocks: readonly number[]): Promise<Uint8Array[]> {
  const contents = await source.read(blocks)
  if (contents.length !== blocks.length || contents.some(bytes => bytes.length !== METADATA_BLOCK_BYTES)) {
    throw new RangeError(`The block source did not return ${blocks.length} blocks of ${METADATA_BLOCK_BYTES} bytes`)
  }
  return contents
}

/** The callbacks of {@link walkTrees}. */
export interface TreeVisitor {
  /** Handles a block that a root or a parent refers to. Return false to skip reading it (again). */
  reach(block: number): boolean
  internal?(node: BtreeNode, children: readonly number[]): void
  leaf(node: BtreeNode, level: number): void
}

// A node to read, and the half-open range that its keys must be in. A lookup descends by the parents' keys, so the
// kernel could not find an entry outside that range either.
interface Pending {
  readonly block: number
  readonly low: number
  readonly high: number
}

/**
 * Walks trees of one kind level by level, all roots at once, so that reads are in full batches instead of one call for
 * each node. Within a level, nodes are in key order.
 */
export async function walkTrees(
  reader: NodeReader,
  roots: readonly number[],
  leafValueBytes: number,
  visitor: TreeVisitor,
): Promise<void> {
  let pending: Pending[] = []
  for (const block of roots) if (visitor.reach(block)) pending.push({ block, low: 0, high: Infinity })

  for (let level = 1; pending.length > 0; level++) {
    if (level > MAX_LEVELS) throw corruptBlock(pending[0]!.block, `reached at level ${level} of a tree`)
    const next: Pending[] = []
    const blocks = pending.map(({ block }) => block)
    let position = 0
    for await (const node of reader.read(blocks, leafValueBytes)) {
      const { low, high } = pending[position++]!
      checkRange(node, low, high)
      if (node.leaf) visitor.leaf(node, level)
      else descend(node, high, visitor, next)
    }
    pending = next
  }
}

function descend(node: BtreeNode, high: number, visitor: TreeVisitor, next: Pending[]): void {
  const children: number[] = []
  for (let i = 0; i < node.count; i++) {
    const block = node.blockNumber(i)
    children.push(block)
    if (!visitor.reach(block)) continue
    next.push({ block, low: node.key(i), high: i + 1 < node.count ? node.key(i + 1) : high })
  }
  visitor.internal?.(node, children)
}

function checkRange(node: BtreeNode, low: number, high: number): void {
  if (node.count === 0) return
  const first = node.key(0)
  const last = node.key(node.count - 1)
  if (first < low || last >= high) {
    throw corruptBlock(node.block, `tree node has keys ${first} to ${last}, its parent expects ${low} up to ${high}`)
  }
}

/**
 * Calls `entry` for each entry of one tree, by ascending key. For the small trees (one entry per volume). Also throws
 * `DM_METADATA_CORRUPT` for a node reached twice and for leaves at different levels.
 */
export async function walkEntries(
  reader: NodeReader,
  root: number,
  leafValueBytes: number,
  entry: (key: number, node: BtreeNode, index: number) => void,
): Promise<void> {
  const seen = new Set<number>()
  let leafLevel = 0
  await walkTrees(reader, [root], leafValueBytes, {
    reach(block) {
      if (seen.has(block)) throw corruptBlock(block, 'reached twice within one tree')
      seen.add(block)
      return true
    },
    leaf(node, level) {
      if (leafLevel !== 0 && level !== leafLevel) {
        throw corruptBlock(node.block, `leaf at level ${level}, not ${leafLevel}`)
      }
      leafLevel = level
      for (let i = 0; i < node.count; i++) entry(node.key(i), node, i)
    },
  })
}

/** Returns the place of one key in a tree, or undefined. Reads one node of each level. */
export async function findEntry(
  reader: NodeReader,
  root: number,
  leafValueBytes: number,
  key: number,
): Promise<{ readonly node: BtreeNode; readonly index: number } | undefined> {
  let [block, low, high] = [root, 0, Infinity]
  for (let level = 1; level <= MAX_LEVELS; level++) {
    const { value: node } = (await reader.read([block], leafValueBytes).next()) as { value: BtreeNode }
    checkRange(node, low, high)
    const index = lastAtMost(node, key)
    if (node.leaf) return index >= 0 && node.key(index) === key ? { node, index } : undefined
    if (index < 0) return undefined
    block = node.blockNumber(index)
    low = node.key(index)
    if (index + 1 < node.count) high = node.key(index + 1)
  }
  throw corruptBlock(block, `reached at level ${MAX_LEVELS + 1} of a tree`)
}

/** Returns the position of the last key that is not above `key`; -1 if all are. */
function lastAtMost(node: BtreeNode, key: number): number {
  let [from, to] = [0, node.count]
  while (from < to) {
    const middle = Math.floor((from + to) / 2)
    if (node.key(middle) <= key) from = middle + 1
    else to = middle
  }
  return from - 1
}
