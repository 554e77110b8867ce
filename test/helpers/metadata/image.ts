import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { METADATA_BLOCK_BYTES, viewOf } from '../../../lib/metadata/block-source.js'
import { type BtreeNode, parseNode } from '../../../lib/metadata/btree.js'
import { blockChecksum, CHECKSUM_SALT } from '../../../lib/metadata/crc32c.js'
import { parseSuperblock, type Superblock } from '../../../lib/metadata/superblock.js'
import { run } from '../process/spawned.js'
import { poolXml, type XmlPool } from './xml.js'

/** A directory for metadata images that `remove` takes away. */
export function imageDirectory(): { path: (name: string) => string; remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'dm-thin-metadata-'))
  return {
    path: name => join(directory, name),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

/** Makes the metadata of `pool` with `thin_restore`, in a file of `blocks` blocks. */
export function restoreImage(file: string, pool: XmlPool, blocks = 2048): void {
  writeFileSync(`${file}.xml`, poolXml(pool))
  writeFileSync(file, '')
  truncateSync(file, blocks * METADATA_BLOCK_BYTES)
  run('thin_restore', ['--quiet', '-i', `${file}.xml`, '-o', file])
}

/** Throws with the tool's words unless `thin_check` finds nothing to say. */
export function checkImage(file: string): void {
  run('thin_check', ['--quiet', file])
}

export interface ListedThin {
  readonly id: number
  readonly mappedBlocks: number
  readonly exclusiveBlocks: number
  readonly sharedBlocks: number
  readonly transactionId: bigint
  readonly creationTime: number
  readonly snapshottedTime: number
}

/** What `thin_ls` says of a metadata image. */
export function thinLs(file: string): ListedThin[] {
  const fields = 'DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS,TRANSACTION,CREATE_TIME,SNAP_TIME'
  const text = run('thin_ls', ['--no-headers', '--format', fields, file])
  const rows = text.split('\n').filter(line => line.trim() !== '')
  return rows.map(line => {
    const [id, mappedBlocks, exclusiveBlocks, sharedBlocks, transactionId, creationTime, snapshottedTime] = line
      .trim()
      .split(/\s+/)
      .map(Number) as [number, number, number, number, number, number, number]
    const counts = { id, mappedBlocks, exclusiveBlocks, sharedBlocks }
    return { ...counts, transactionId: BigInt(transactionId), creationTime, snapshottedTime }
  })
}

export function fileHash(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

/** A metadata image in memory, to look into and to damage. */
export class MetadataImage {
  readonly bytes: Uint8Array

  constructor(source: string | Uint8Array) {
    this.bytes = typeof source === 'string' ? new Uint8Array(readFileSync(source)) : source.slice()
  }

  get superblock(): Superblock {
    return parseSuperblock(this.block(0))
  }

  /** The bytes of one block, to be changed in place. */
  block(block: number): Uint8Array {
    return this.bytes.subarray(block * METADATA_BLOCK_BYTES, (block + 1) * METADATA_BLOCK_BYTES)
  }

  view(block: number): DataView {
    return viewOf(this.block(block))
  }

  /** Opens a block as a node of the mapping trees (values of 8 bytes) or of the details tree (24). */
  node(block: number, leafValueBytes = 8): BtreeNode {
    return parseNode(this.block(block), block, {
      leafValueBytes,
      metadataBlocks: this.superblock.metadataSpaceMap.blocks,
    })
  }

  /** Makes the checksum of a changed block right again. */
  seal(block: number): void {
    const salt = block === 0 ? CHECKSUM_SALT.superblock : CHECKSUM_SALT.btreeNode
    this.view(block).setUint32(0, blockChecksum(this.block(block), salt), true)
  }

  /** Sets the 64-bit value of an entry of a mapping or top-level node, and seals the node. */
  setValue(block: number, index: number, value: number): void {
    this.view(block).setBigUint64(this.node(block).valueOffset(index), BigInt(value), true)
    this.seal(block)
  }

  /** Root of the mapping tree of the thin at `position` in a pool of few enough thins for a single top node. */
  mappingRoot(position: number): number {
    return this.node(this.superblock.dataMappingRoot).blockNumber(position)
  }
}
