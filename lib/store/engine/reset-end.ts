// The end of a reset: what a reset does after its layer's device has moved to the new content, and what recovery does with a
// reset whose process died. docs/crash-safety.md has the table of what is found and what is done.
import type { ThinVolume } from '../../pool/volume/thin-volume.js'
import { createSnapshot, creationTimes, deleteThin, moveToSnapshot, thinBelow } from '../../pool/volume/move-volume.js'
import { step } from '../common/step-channel.js'
import type { Row } from '../records/row.js'
import { stateError } from '../records/layer-lookup.js'
import type { StoreParts } from './parts.js'

/** The rows of a reset. */
export interface ResetRows {
  /** The layer. */
  readonly row: Row
  /** The volume that has the new content, until the layer's own volume has it. */
  readonly copy: Row
}

/** The end of a reset: the layer has the new content (`completed`), or its former one. */
type ResetEnd = 'completed' | 'undone'

/**
 * Ends a reset of this owner, whose call failed or whose process died. The reset is completed if the layer's device has
 * moved to the new content, or had been about to when the machine stopped. Otherwise it is undone.
 */
export async function endReset(parts: StoreParts, rows: ResetRows): Promise<ResetEnd> {
  const { row, copy } = rows
  const { context } = parts.pool
  const volume = await parts.volumes.of(row)
  const below = await thinBelow(volume.state)
  const times = await creationTimes(context)
  const [own, made] = [times.get(row.thin), times.get(copy.thin)]
  // The layer's volume is deleted and made again as a snapshot of the copy. Then it is the younger of the two.
  const isNew = own !== undefined && made !== undefined && own > made
  if (made === undefined || (below === row.thin && !isNew)) {
    await undo(parts, rows, made !== undefined)
    return 'undone'
  }
  if (!isNew || below === copy.thin) {
    if (own !== undefined) await deleteThin(context, row.thin)
    if (below === undefined) await createSnapshot(context, copy.thin, row.thin)
    else await moveBack(volume, rows)
  }
  await complete(parts, rows)
  return 'completed'
}

/**
 * Ends the reset of a dead owner to which a row belongs. Returns undefined if the row belongs to none, or another process ends
 * it.
 */
export async function endUnfinishedReset(parts: StoreParts, { id }: Row): Promise<ResetEnd | undefined> {
  const { records, writer, owner } = parts
  const now = records.byId(id)
  const copy = now?.resets == null ? records.resetOf(id) : now
  const layer = copy?.resets == null ? undefined : records.byId(copy.resets)
  if (!copy || !layer || copy.state !== 'making' || (await owner.isAlive(copy.owner!))) return undefined
  const mine = await writer.write(() => {
    if (records.byId(copy.id)?.owner !== copy.owner) return undefined
    const taken = { owner: owner.id }
    const row = records.update(layer, ['committing'], taken)
    return row && { row, copy: records.update(copy, ['making'], taken)! }
  })
  return mine && endReset(parts, mine)
}

/** Moves the layer's device from the copy to the layer's own thin id. Writes to the device wait until it has moved. */
export const moveBack = (volume: ThinVolume, { row, copy }: ResetRows): Promise<void> =>
  moveToSnapshot(volume.state, { originId: copy.thin, id: row.thin })

/** Records that the layer has the new content, and removes the copy. `former`: the row of the former content, if it is kept. */
export async function complete(parts: StoreParts, { row, copy }: ResetRows, former?: Row): Promise<void> {
  const { points, records, writer, removals, owner, clock } = parts
  const key = row.key ?? ''
  step('reset.point', key)
  const transaction = await points.point()
  step('reset.record', key)
  const left = await writer.write(() => {
    records.noteTransaction(transaction)
    const { parentId } = records.byId(copy.id)!
    const change = { state: 'ready', owner: null, parentId, updatedAt: clock() } as const
    if (!records.update(row.id, ['committing'], change)) throw takenOver(row)
    const gone = former && records.abandon(former.id, ['making'], owner.id)
    return { gone, copied: records.abandon(copy.id, ['making'], owner.id) }
  })
  if (left.gone) removals.add(left.gone)
  // All blocks of the copy are also those of the layer, so that there is nothing to discard.
  if (left.copied) await removals.now(left.copied, false)
}

/** Records that the layer has its former content. `made`: the pool has the copy. */
async function undo(parts: StoreParts, { row, copy }: ResetRows, made: boolean): Promise<void> {
  const { records, writer, removals, owner } = parts
  const left = await writer.write(() => {
    if (!records.update(row.id, ['committing'], { state: 'ready', owner: null })) throw takenOver(row)
    if (made) return records.abandon(copy.id, ['making'], owner.id)
    records.delete(copy)
    return undefined
  })
  if (left) await removals.now(left, false)
}

const takenOver = (row: Row) => stateError(row, 'this process was considered dead, and the reset was taken over')
