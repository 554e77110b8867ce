// The options that a pool has while it is kept, and their return.
import { DmThinError } from '../../base/errors.js'
import { readMark, removeMark, restoreUnkept, writeMark } from '../lifecycle/keeper-mark.js'
import { refuseSuspended, reload } from '../lifecycle/reload.js'
import { isUp, poolTable, type PoolContext } from '../state/context.js'
import { withPoolLock } from '../state/locks.js'
import { forgetMaking } from '../spares/spare-volumes.js'
import { readPoolStatus } from '../state/status.js'
import { isOnFile } from './backing-room.js'
import type { Rules } from './grower.js'
import { lowBlocks } from './growth.js'
import type { Spares } from '../spares/spares.js'
import { ruleOf, type KeepPlan, type PoolRole } from './keep-options.js'

/**
 * Makes the pool queue writes if it is full, and raise the low-water event at the mark of the rule for its data. The
 * caller holds the keeper's lock. The mark is written before the table is loaded, so that the death of a keeper after
 * that is noticed.
 */
export function beginKeeping(context: PoolContext, plan: KeepPlan, signal: AbortSignal): Promise<Rules> {
  const { port, name } = context
  return withPoolLock(port, name, signal, async () => {
    await refuseSuspended(context)
    const rules = await rulesOf(context, plan)
    const table = await poolTable(context)
    const mark = await readMark(port, name, context)
    const rest = mark ?? { lowWaterBlocks: table.lowWaterBlocks, errorIfNoSpace: true }
    await writeMark(port, name, context, rest)
    try {
      const lowWaterBlocks = lowBlocks(rules.data, context.dataBlockBytes)
      await reload(context, table, { ...table, lowWaterBlocks, errorIfNoSpace: false })
      // After the reload: the record may be on a disk that waits for this pool.
      await recordErrors(context)
    } catch (fault) {
      if (mark === undefined) await restoreUnkept(context, table).catch(() => {}) // the next `open` does it
      throw fault
    }
    return rules
  })
}

/** Records that writes to a full pool fail without a keeper. */
async function recordErrors({ record }: PoolContext): Promise<void> {
  if (record === undefined || record.content.options.errorIfNoSpace) return
  await record.change(content => ({ ...content, options: { ...content.options, errorIfNoSpace: true } }))
}

/**
 * Restores the options that the pool has without a keeper: writes to a full pool fail immediately. Then deletes the
 * spares.
 */
export function endKeeping(context: PoolContext, spares: Spares | undefined): Promise<void> {
  const { port, name } = context
  return withPoolLock(port, name, undefined, async () => {
    if (!(await isUp(context))) {
      await forgetMaking(context)
      return removeMark(port, name)
    }
    const rest = await readMark(port, name, context)
    const release = async () => spares?.delete()
    await (rest === undefined ? release() : restoreUnkept(context, rest, release))
  })
}

async function rulesOf(context: PoolContext, plan: KeepPlan): Promise<Rules> {
  const status = await readPoolStatus(context)
  if (status.data === undefined) {
    const text = `pool ${context.name} has failed, so it cannot be kept`
    throw new DmThinError('DM_POOL_FAILED', text, { device: context.name })
  }
  const rule = async (role: PoolRole) => ruleOf(role, plan[role], status[role], await isOnFile(context, role))
  return { data: await rule('data'), metadata: await rule('metadata') }
}
