// Unfinished calls: rows of calls whose process died, and their completion.
import type { Row } from '../records/row.js'
import type { StoreParts } from './parts.js'

/** Returns the layers that dead processes were making or committing. The removal queue finds those being removed. */
export async function unfinished({ records, owner }: Pick<StoreParts, 'records' | 'owner'>): Promise<Row[]> {
  const found: Row[] = []
  for (const row of records.unready()) {
    const isBegun = row.state === 'making' || row.state === 'committing'
    if (isBegun && row.owner !== null && !(await owner.isAlive(row.owner))) found.push(row)
  }
  return found
}

/**
 * Ends an unfinished call: an unfinished layer is removed, and an unfinished commit is reverted to the active layer. Returns
 * false if another process has done so. `ids` are the volumes of the pool, read after the row. If the pool does not have
 * the volume, only the row is deleted, because the kernel would log an error for each call with its id.
 */
export async function endUnfinished(
  parts: Pick<StoreParts, 'records' | 'writer' | 'removals' | 'owner'>,
  row: Row,
  ids: ReadonlySet<number>,
): Promise<boolean> {
  const { records, writer, removals, owner } = parts
  const done = await writer.write(() => {
    const now = records.byId(row.id)
    if (!now || now.owner !== row.owner) return undefined // another process has ended it
    if (row.state !== 'making') return records.update(row.id, ['committing'], { state: 'ready', owner: null })
    if (ids.has(now.thin)) return records.abandon(row.id, ['making'], owner.id)
    records.delete(now)
    return now
  })
  if (done?.state === 'removing') removals.add(done)
  return done !== undefined
}
