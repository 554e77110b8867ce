import { type BlockSource, METADATA_BLOCK_BYTES, READ_BATCH } from '../../../lib/metadata/block-source.js'

/** A block source that holds its reader to the contract and says how much was asked of it. */
export interface CountingSource extends BlockSource {
  readonly blockCount: number
  /** Blocks read so far, in order. */
  readonly reads: number[]
}

function checkRequest(blocks: readonly number[], blockCount: number): void {
  if (blocks.length < 1 || blocks.length > READ_BATCH) throw new Error(`asked for ${blocks.length} blocks at once`)
  for (const [i, block] of blocks.entries()) {
    if (!Number.isInteger(block) || block < 0 || block >= blockCount) throw new Error(`block ${block} is out of range`)
    if (i > 0 && block <= blocks[i - 1]!) throw new Error(`block ${block} asked for after ${blocks[i - 1]}`)
  }
}

/** Serves a metadata image held in memory. */
export function memoryBlockSource(image: Uint8Array): CountingSource {
  const blockCount = Math.floor(image.length / METADATA_BLOCK_BYTES)
  const reads: number[] = []
  return {
    blockCount,
    reads,
    async read(blocks) {
      checkRequest(blocks, blockCount)
      reads.push(...blocks)
      return blocks.map(block => image.slice(block * METADATA_BLOCK_BYTES, (block + 1) * METADATA_BLOCK_BYTES))
    },
  }
}
