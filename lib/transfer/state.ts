// The state of a volume: what makes sure that two volumes have the same content.
//
// A snapshot that was never written has only mappings that are older than itself. A write would add a newer one, and a
// discard would lower their number: so if all are older and their number is the same, the volume is unchanged. The time of
// a snapshot is that of no other, so that an id that is used again is recognised.
import { DmThinError } from '../base/errors.js'
import type { ThinDevice } from '../metadata/details.js'
import type { MappedRange } from '../metadata/ranges.js'
import { isNamedByVolumes, poolStatusLine, type PoolContext } from '../pool/state/context.js'
import type { FrozenState } from '../pool/state/record.js'
import type { ThinMetadata } from '../thin-metadata/thin-metadata.js'
import { invalidTransfer } from './format.js'

type Identity = Omit<FrozenState, 'start'>

export const identityOf = ({ id, creationTime, mappedBlocks }: ThinDevice): Identity => ({
  volume: id,
  time: creationTime,
  mappedBlocks,
})

export const isSame = (a: Identity, b: Identity): boolean =>
  a.volume === b.volume && a.time === b.time && a.mappedBlocks === b.mappedBlocks

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
