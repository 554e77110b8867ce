// The file with the metadata that the trials of the reader read.
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { MAPPINGS } from './metadata-trials.mjs'

const { blockChecksum, CHECKSUM_SALT } = createRequire(import.meta.url)('../../dist/metadata/crc32c.js')

const BLOCK = 4096
const ENTRIES = 252
/** `whole` has no node in common with `base`; the others are snapshots of `base`. */
export const VOLUMES = { base: 1, whole: 2, sequential: 3, random: 4 }
export const imageOf = ({ directory }) => join(directory, 'reader-metadata')
const factsOf = plan => `${imageOf(plan)}.json`

const device = (id, mapped, data) =>
  `<device dev_id="${id}" mapped_blocks="${mapped}" transaction="0" creation_time="0" snap_time="1">` +
  `<range_mapping origin_begin="0" data_begin="${data}" length="${mapped}" time="0"/></device>\n`

/** Nodes of a mapping tree in the file, and their copies. */
class Nodes {
  #file
  #next
  #copies = new Map()

  constructor(file, next) {
    this.#file = file
    this.#next = next
  }

  read(block) {
    const bytes = this.#copies.get(block) ?? Buffer.alloc(BLOCK)
    if (!this.#copies.has(block)) readSync(this.#file, bytes, 0, BLOCK, block * BLOCK)
    return bytes
  }

  /** Maps a virtual block to another data block, as the kernel does in a snapshot: the path to the leaf is copied once. */
  remap(root, key, data) {
    const node = this.read(root)
    const block = this.#copies.has(root) ? root : this.#next++
    this.#copies.set(block, node)
    let entry = node.readUInt32LE(16) - 1
    while (Number(node.readBigUInt64LE(32 + 8 * entry)) > key) entry--
    const place = 32 + 8 * (ENTRIES + entry)
    const isLeaf = node.readUInt32LE(4) === 2
    const value = isLeaf ? data * 2 ** 24 + 1 : this.remap(Number(node.readBigUInt64LE(place)), key, data)
    node.writeBigUInt64LE(BigInt(value), place)
    return block
  }

  /** Writes the copies, and returns how many there are. */
  write() {
    for (const [block, bytes] of this.#copies) this.put(block, bytes)
    const count = this.#copies.size
    this.#copies.clear()
    return count
  }

  put(block, bytes) {
    bytes.writeBigUInt64LE(BigInt(block), 8)
    bytes.writeUInt32LE(blockChecksum(bytes, CHECKSUM_SALT.btreeNode), 0)
    writeSync(this.#file, bytes, 0, BLOCK, block * BLOCK)
  }
}

function randomKeys(count) {
  const keys = new Set()
  for (let state = 16; keys.size < count;) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    keys.add(Math.floor((state / 2 ** 31) * MAPPINGS))
  }
  return [...keys]
}

/** `thin_restore` makes two volumes and two empty ones, whose trees are then those of snapshots with `count` changes. */
export function makeImage(plan) {
  const path = imageOf(plan)
  const devices = [1, 2].map(id => device(id, MAPPINGS, (id - 1) * MAPPINGS))
  devices.push(...[3, 4].map(id => device(id, 1, 2 * MAPPINGS)))
  const head = `<superblock uuid="" time="1" transaction="0" version="2" data_block_size="128" nr_data_blocks="${4 * MAPPINGS}">`
  writeFileSync(`${path}.xml`, `${head}\n${devices.join('')}</superblock>\n`)
  writeFileSync(path, '')
  truncateSync(path, 600 * 2 ** 20)
  execFileSync('thin_restore', ['--quiet', '-i', `${path}.xml`, '-o', path])
  rmSync(`${path}.xml`)
  const file = openSync(path, 'r+')
  const superblock = Buffer.alloc(BLOCK)
  readSync(file, superblock, 0, BLOCK, 0)
  const nodes = new Nodes(file, Number(superblock.readBigUInt64LE(200)) + 1000)
  const top = Number(superblock.readBigUInt64LE(320))
  const roots = nodes.read(top)
  const place = volume => 32 + 8 * (ENTRIES + volume - 1)
  const snapshot = (volume, keys) => {
    let root = Number(roots.readBigUInt64LE(place(VOLUMES.base)))
    keys.forEach((key, at) => (root = nodes.remap(root, key, 3 * MAPPINGS + at)))
    roots.writeBigUInt64LE(BigInt(root), place(volume))
    return 2 * nodes.write()
  }
  const differ = {
    sequential: snapshot(
      VOLUMES.sequential,
      Array.from({ length: plan.count }, (_, at) => MAPPINGS / 2 + at),
    ),
    random: snapshot(VOLUMES.random, randomKeys(plan.count)),
  }
  nodes.put(top, roots)
  closeSync(file)
  writeFileSync(factsOf(plan), JSON.stringify(differ))
}

export function removeImage(plan) {
  for (const path of [imageOf(plan), factsOf(plan)]) rmSync(path, { force: true })
}

/** How many nodes two trees do not share, of both together. */
export const differingNodes = plan => createRequire(import.meta.url)(factsOf(plan))
