// Rows of calls that their process did not live to end: which there are, and ending them.
import type { Row } from '../records/row.js'
import type { StoreParts } from './parts.js'

/** What dead processes were making or committing. What they were removing the queue of removals finds by itself. */
export async function unfinished({ records, owner }: Pick<StoreParts, 'records' | 'owner'>): Promise<Row[]> {
  const found: Row[] = []
  for (const row of records.unready()) {
    const isBegun = row.state === 'making' || row.state === 'committing'
    if (isBegun && row.owner !== null && !(await owner.isAlive(row.owner))) found.push(row)
  }
  return found
}

/**
 * What was being made goes; what was being committed is the active layer that it was. False: another was quicker. `ids`:
 * what the pool has, read after the row. Of a volume that is not in it only the row is deleted: the kernel would complain
 * of each call for it.
 */
export async function endUnfinished(
  parts: Pick<StoreParts, 'records' | 'writer' | 'removals' | 'owner'>,
  row: Row,
  ids: ReadonlySet<number>,
): Promise<boolean> {
  const { records, writer, removals, owner } = parts
  const done = await writer.write(() => {
    const now = records.byId(row.id)
    if (!now || now.owner !== row.owner) return undefined // another process was quicker
    if (row.state !== 'making') return records.update(row.id, ['committing'], { state: 'ready', owner: null })
    if (ids.has(now.thin)) return records.abandon(row.id, ['making'], owner.id)
    records.delete(now)
    return now
  })
  if (done?.state === 'removing') removals.add(done)
  return done !== undefined
}
