// The state of a volume: what makes sure that two volumes have the same content.
//
// Of a volume that is sent, it is proved by its mappings.
// A snapshot that was never written has only mappings that are older than itself. A write would add a newer one, and a
// discard would lower their number: so if all are older and their number is the same, the volume is unchanged. The time of
// a snapshot is that of no other, so that an id that is used again is recognised.
//
// Of a volume that was received, the record notes whether it was activated for writing since. If it was not, its mappings
// are not read: the number of its mappings and the root of its tree show most of what another program may have done.
import { DmThinError } from '../base/errors.js'
import { findDevice, findMappingRoot, type ThinDevice } from '../metadata/details.js'
import type { NodeReader } from '../metadata/btree-walk.js'
import type { MappedRange } from '../metadata/ranges.js'
import { readCommitted } from '../metadata/reader.js'
import type { FrozenState, KeptState } from '../pool/state/sent-states.js'
import { commitPool } from '../pool/state/commit-point.js'
import { isNamedByVolumes, poolStatusLine, type PoolContext } from '../pool/state/context.js'
import { readMetadata } from '../pool/state/live-metadata.js'
import type { ThinMetadata } from '../pool/thin-metadata.js'
import { invalidTransfer } from './format.js'

/** The length of a mapping in a leaf: data block and time. */
const MAPPING_BYTES = 8

type Identity = Omit<FrozenState, 'start'>

export const identityOf = ({ id, creationTime, mappedBlocks }: ThinDevice): Identity => ({
  volume: id,
  time: creationTime,
  mappedBlocks,
})

export const isSame = (a: Identity, b: Identity): boolean =>
  a.volume === b.volume && a.time === b.time && a.mappedBlocks === b.mappedBlocks

/** Returns the committed state of a volume, of the last commit, in a number of reads that its size does not change. */
export async function keptState(pool: PoolContext, id: number, signal: AbortSignal | undefined): Promise<KeptState> {
  await commitPool(pool, signal)
  const found = await readMetadata(pool, signal, source =>
    readCommitted(source, { signal }, async (superblock, reader) => {
      const device = await findDevice(reader, superblock, id)
      const block = await findMappingRoot(reader, superblock, id)
      return device && block !== undefined ? { device, root: await rootAt(reader, block) } : undefined
    }),
  )
  if (!found) throw new DmThinError('DM_VOLUME_NOT_FOUND', `pool ${pool.name} has no volume ${id}`)
  return { start: pool.uuid, ...identityOf(found.device), root: found.root }
}

/** Returns the root of a mapping tree. A node has its checksum in its first 4 bytes. */
async function rootAt(reader: NodeReader, block: number): Promise<NonNullable<KeptState['root']>> {
  for await (const node of reader.read([block], MAPPING_BYTES)) {
    return { block, checksum: node.view.getUint32(0, true) }
  }
  throw new RangeError(`no node was read for block ${block}`)
}

export const isSameRoot = (a: KeptState['root'], b: KeptState['root']): boolean =>
  a !== undefined && b !== undefined && a.block === b.block && a.checksum === b.checksum

/** Returns the metadata of one volume. Rejects with `DM_VOLUME_NOT_FOUND`. */
export async function findDetails(
  metadata: ThinMetadata,
  id: number,
  options: { readonly signal?: AbortSignal },
): Promise<ThinDevice> {
  const device = (await metadata.devices(options)).find(each => each.id === id)
  if (!device) throw new DmThinError('DM_VOLUME_NOT_FOUND', `the pool has no volume ${id}`)
  return device
}

/** Yields mappings, and throws `fault` unless they are those of a state. */
export async function* unchanged(
  ranges: AsyncIterable<MappedRange>,
  { time, mappedBlocks }: Identity,
  fault: () => DmThinError,
): AsyncGenerator<MappedRange, void> {
  let blocks = 0
  for await (const range of ranges) {
    if (range.time >= time) throw fault()
    blocks += range.length
    yield range
  }
  if (blocks !== mappedBlocks) throw fault()
}

/** Throws `DM_UNSUPPORTED` for a pool whose uuid is not new at each start. */
export function refuseForeignPool(pool: PoolContext): void {
  if (isNamedByVolumes(pool)) return
  const text = `pool ${pool.name} was started by another program: whether it was stopped since cannot be recognised`
  throw new DmThinError('DM_UNSUPPORTED', text, { device: pool.name })
}

/** Rejects if the kernel has rolled back a transaction: discards of it may have reached the data device already. */
export async function checkNotRolledBack(pool: PoolContext, signal: AbortSignal | undefined): Promise<void> {
  const line = await poolStatusLine(pool, signal)
  if ('transactionId' in line && !line.needsCheck) return
  throw invalidTransfer('needs-check', `pool ${pool.name} has failed, or its metadata needs a check`)
}
