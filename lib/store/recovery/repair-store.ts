// The repair of those inconsistencies that are safe to repair.
import type { DmThinError } from '../../base/errors.js'
import { LoopDevice } from '../../block/loop-device.js'
import type { StoreFinding } from '../common/findings.js'
import type { StoreParts } from '../engine/parts.js'
import { sweepMount } from '../engine/temporary-mounts.js'
import { endUnfinishedReset } from '../engine/reset-end.js'
import { endUnfinished } from '../engine/unfinished.js'
import { endClaims, claimStates } from './unrecorded.js'
import { ageOf } from './consistency.js'
import { verify } from './verify.js'

/** Options of `LayerStore.repair`. */
export interface RepairOptions {
  /** Returns the planned actions, and changes nothing. Default false. */
  readonly dryRun?: boolean
  /** Deletes the volumes without a record too. Their content is lost. Default false. */
  readonly deleteRetired?: boolean
  /**
   * Accepts the pool although it is older than the records (`transaction-behind`). Otherwise, no record and no volume of
   * such a pool is deleted. Records of layers that this pool does not have are lost. Default false.
   */
  readonly acceptPool?: boolean
}

export async function repair(parts: StoreParts, options: RepairOptions): Promise<StoreFinding[]> {
  const findings = await verify(parts)
  const isBehind = ageOf(findings) === 'behind' && !options.acceptPool
  const planOf = (finding: StoreFinding) =>
    isBehind && BY_THE_RECORDS.has(finding.kind) ? 'none' : planned(finding, parts, options)
  if (options.dryRun) return findings.map(finding => ({ ...finding, action: planOf(finding) }))
  const done: StoreFinding[] = []
  for (const finding of findings) {
    const action = planOf(finding)
    const error = action === 'none' ? undefined : await act(parts, finding)
    done.push(error ? { ...finding, error } : { ...finding, action })
  }
  return done
}

/** The findings whose repair relies on the records, which do not describe an older pool. */
const BY_THE_RECORDS: ReadonlySet<StoreFinding['kind']> = new Set([
  'layer-without-volume',
  'volume-without-layer',
  'unfinished',
])

function planned(finding: StoreFinding, parts: StoreParts, options: RepairOptions): StoreFinding['action'] {
  switch (finding.kind) {
    case 'layer-without-volume': {
      // If the layer has children, they still have its content.
      const row = parts.records.byThin(finding.thin!)
      return row && parts.records.childOf(row.id) === undefined ? 'deleted' : 'none'
    }
    case 'volume-without-layer':
      return options.deleteRetired ? 'deleted' : 'none'
    case 'transaction-behind':
      return options.acceptPool ? 'accepted' : 'none'
    case 'leaked-loop':
      return 'detached'
    case 'unfinished':
      return 'undone'
    case 'left-mounted':
      return 'unmounted'
    default:
      return 'none'
  }
}

async function act(parts: StoreParts, finding: StoreFinding): Promise<DmThinError | undefined> {
  try {
    await repairOne(parts, finding)
    return undefined
  } catch (fault) {
    return fault as DmThinError
  }
}

async function repairOne(parts: StoreParts, { kind, thin, detail }: StoreFinding): Promise<void> {
  const { records, writer, pool } = parts
  const row = thin === undefined ? undefined : records.byThin(thin)
  switch (kind) {
    case 'leaked-loop':
      await (await LoopDevice.list()).find(loop => loop.path === detail)?.detach()
      return
    case 'left-mounted':
      return sweepMount(detail!)
    case 'unfinished':
      if (!row) {
        const { dead } = await claimStates(parts)
        await endClaims(parts, dead, false)
      } else if (!(await endUnfinishedReset(parts, row))) await endUnfinished(parts, row, await parts.volumes.ids())
      return
    case 'transaction-behind': {
      const { transactionId, snapshots } = await pool.status()
      if (transactionId !== undefined) await writer.write(() => records.acceptPool(transactionId, snapshots?.made ?? 0))
      return
    }
    case 'volume-without-layer':
      await (await pool.volume(thin!)).delete()
      break
    default:
  }
  if (row) await writer.write(() => records.delete(row))
}
