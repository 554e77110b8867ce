// Recovery when a store is opened: unfinished calls of dead processes are ended, and the records are compared with the pool.
import { DmThinError } from '../../base/errors.js'
import type { StoreParts } from '../engine/parts.js'
import type { StoreFinding } from '../common/findings.js'
import { leftMounts, sweepMount } from '../engine/temporary-mounts.js'
import { endUnfinishedReset } from '../engine/reset-end.js'
import { endUnfinished, unfinished } from '../engine/unfinished.js'
import { endClaims, claimStates } from './unrecorded.js'
import type { Row } from '../records/row.js'
import { ageOf, compare, keyOf, type PoolAge } from './consistency.js'
import { sweepStaging } from '../common/staging.js'

const NONE: ReadonlySet<number> = new Set()

export async function recover(parts: StoreParts): Promise<StoreFinding[]> {
  const findings: StoreFinding[] = []
  for (const folder of await leftMounts(parts)) {
    await sweepMount(folder)
    findings.push({ kind: 'left-mounted', detail: folder, action: 'unmounted' })
  }
  // The records are compared with the pool before anything is deleted because of them.
  const compared = await compare(parts, true)
  const begun = await unfinished(parts)
  // The volumes are read after the rows: no volume is created any more for a row of a dead owner.
  const ids = begun.length === 0 ? NONE : await parts.volumes.ids()
  const age = ageOf(compared)
  for (const row of begun) {
    const action = await ended(parts, row, ids, age)
    if (action) findings.push({ kind: 'unfinished', ...keyOf(row), thin: row.thin, ...action })
  }
  const { dead, outdated } = await claimStates(parts)
  if (age !== 'behind') {
    const { unfinished, strange } = await endClaims(parts, dead, age === 'ahead')
    const action = age === 'ahead' ? 'retired' : 'undone'
    for (const thin of unfinished) findings.push({ kind: 'unfinished', thin, action })
    for (const thin of strange) findings.push({ kind: 'volume-without-layer', thin, action: 'retired' })
  }
  if (outdated.length > 0) await parts.writer.write(() => outdated.forEach(claim => parts.records.claims.delete(claim)))
  await parts.leases.living() // deletes the leases of dead owners
  await parts.removals.takeOver()
  sweepStaging(parts.directory, await parts.owner.sweep())
  parts.owner.forget(new Set(parts.records.claims.all().map(({ owner }) => owner)))
  return [...findings, ...compared]
}

/** Ends an unfinished call. Returns the action, or undefined if another process has ended the call. */
async function ended(
  parts: StoreParts,
  row: Row,
  ids: ReadonlySet<number>,
  age: PoolAge,
): Promise<Pick<StoreFinding, 'action' | 'error'> | undefined> {
  if (age === 'behind') return { action: 'none' }
  if (age === 'same') {
    const end = await endUnfinishedReset(parts, row).catch(failed)
    if (end) return typeof end === 'string' ? { action: end } : end
  }
  if (age === 'same' || row.state !== 'making')
    return (await endUnfinished(parts, row, ids)) ? { action: 'undone' } : undefined
  const change = { state: 'retired', key: null, owner: null } as const
  return (await parts.writer.write(() => parts.records.update(row, ['making'], change)))
    ? { action: 'retired' }
    : undefined
}

/** A reset that cannot be ended, for example because the pool is read-only, does not prevent the use of other layers. */
function failed(error: unknown): Pick<StoreFinding, 'action' | 'error'> {
  if (error instanceof DmThinError) return { action: 'none', error }
  throw error
}
