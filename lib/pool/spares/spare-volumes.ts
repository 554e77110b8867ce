// The spare volumes of keepers (spares.ts) in a pool's metadata: their recognition, and their deletion when the pool is no
// longer kept.
import { randomInt } from 'node:crypto'
import { LAST_CHOSEN_THIN_ID, MAX_THIN_ID, sectorsToBytes } from '../../base/units.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import type { BlockSource } from '../../metadata/block-source.js'
import { MAPPING_BYTES } from '../../metadata/btree.js'
import type { NodeReader } from '../../metadata/btree-walk.js'
import { type ThinDevice, findMappingRoot, readDevices } from '../../metadata/details.js'
import { type ReadOptions, readCommitted } from '../../metadata/reader.js'
import { undefinedIf } from '../../base/errors.js'
import { message } from '../../target/messages.js'
import { type PoolAddress, addressOf, startOf, volumeUuidPrefix } from '../state/context.js'
import { readMetadata } from '../state/live-metadata.js'

/**
 * The offset of the only block of a spare, rounded down to a block: nearly 4 PiB. A volume counts as a spare if its id is
 * above those that the library chooses, and this is the only block that it has. That is safe: a volume of another program
 * with these properties would be larger than 4 PiB, and empty but for one block of zeros at this offset. It is in the
 * metadata alone, so that it is found without a device, also after the machine was started again.
 */
const MARK_BYTES = 0xf_6474_5370_6172

export const markBlock = (blockBytes: number): number => Math.floor(MARK_BYTES / blockBytes)

export const isSpareId = (id: number): boolean => id > LAST_CHOSEN_THIN_ID

/** Returns an id for a new spare. It is random, so that no other program creates the volume that a file of /run names. */
export const randomSpareId = (): number => randomInt(LAST_CHOSEN_THIN_ID + 1, MAX_THIN_ID + 1)

/** A pool as the file of /run identifies it. */
export interface SparePool {
  readonly port: KernelPort
  readonly name: string
  readonly device: number
  readonly uuid: string
}

/** Pool names have no `~`. */
const makingFile = (pool: string): string => `/run/dm-thin/~spare-${pool}.json`

/**
 * Records that a keeper makes this spare: the volume exists before it has its block. Without a block and with this
 * record, it is a spare too.
 */
export async function recordMaking(pool: SparePool, id: number): Promise<void> {
  await pool.port.replaceRunFile(makingFile(pool.name), `${JSON.stringify({ pool: startOf(pool), id })}\n`)
}

export async function readMaking(pool: SparePool): Promise<number | undefined> {
  const text = await pool.port.readRunFile(makingFile(pool.name)).catch(() => undefined)
  if (text === undefined) return undefined
  const found = JSON.parse(text) as { readonly pool: string; readonly id: number }
  return found.pool === startOf(pool) ? found.id : undefined
}

export const forgetMaking = ({ port, name }: SparePool): Promise<void> => port.deleteFile(makingFile(name))

/** The volumes of a pool, with its spares apart. */
export interface Thins {
  readonly volumes: readonly ThinDevice[]
  /** The ids of the spares. */
  readonly spares: readonly number[]
  /** The ids of empty volumes that may be spares of which the block is missing. They are among `volumes`. */
  readonly empty: readonly number[]
}

/** Reads the volumes. Their mappings are read only if the id is one of a spare. */
export function readThins(source: BlockSource, options: ReadOptions = {}): Promise<Thins> {
  return readCommitted(source, options, async (superblock, reader) => {
    const devices = await readDevices(reader, superblock)
    const mark = markBlock(sectorsToBytes(superblock.dataBlockSizeSectors))
    const spares = new Set<number>()
    for (const { id, mappedBlocks } of devices) {
      if (!isSpareId(id) || mappedBlocks !== 1) continue
      const root = await findMappingRoot(reader, superblock, id)
      if (root !== undefined && (await hasOnly(reader, root, mark))) spares.add(id)
    }
    const volumes = devices.filter(({ id }) => !spares.has(id))
    const empty = volumes.filter(({ id, mappedBlocks }) => isSpareId(id) && mappedBlocks === 0)
    return { volumes, spares: [...spares], empty: empty.map(({ id }) => id) }
  })
}

/** Returns true if a mapping tree has one entry, of this block of the volume. */
async function hasOnly(reader: NodeReader, root: number, block: number): Promise<boolean> {
  for await (const node of reader.read([root], MAPPING_BYTES))
    return node.leaf && node.count === 1 && node.key(0) === block
  return false
}

/**
 * Returns the ids of the spares that keepers have made, of one that a keeper was making, and of the volumes of others that
 * have such an id.
 */
export async function spareIds(pool: PoolAddress & SparePool): Promise<{
  readonly spares: readonly number[]
  readonly halfMade: number | undefined
  readonly others: readonly number[]
}> {
  const { spares, empty, volumes } = await readMetadata(pool, undefined, source => readThins(source))
  const making = await readMaking(pool)
  const halfMade = empty.find(id => id === making)
  const others = volumes.map(({ id }) => id).filter(id => isSpareId(id) && id !== halfMade)
  return { spares, halfMade, others }
}

/** Returns the prefix of the uuid of a spare's device, which exists while the spare is made. The rest is the id. */
export const spareUuidPrefix = (pool: Pick<SparePool, 'device' | 'uuid'>): string =>
  `${volumeUuidPrefix({ device: pool.device, uuid: pool.uuid })}spare-`

/** Removes the devices of spares that a killed keeper left. Rejects with `DM_BUSY` if one is still written. */
export async function removeSpareDevices(pool: SparePool, limitMs: number): Promise<void> {
  const { port } = pool
  for (const device of await port.listDevices({ uuid: spareUuidPrefix(pool) })) {
    await port.remove(addressOf(device), limitMs).catch(undefinedIf('DM_NOT_FOUND'))
  }
}

/** Deletes the spares. The caller holds the lock of the pool's keeper, so that no other call makes or deletes one. */
export async function deleteSpares(pool: PoolAddress & SparePool): Promise<void> {
  const { port, address } = pool
  await removeSpareDevices(pool, 1_000)
  const { spares, halfMade } = await spareIds(pool)
  const ids = halfMade === undefined ? spares : [...spares, halfMade]
  for (const id of ids) await port.targetMessage(address, 0, message.delete(id))
  await forgetMaking(pool)
}
