// Looking for every disagreement between records, pool and kernel; and repairing those that are safe to repair.
import path from 'node:path'
import type { DmThinError } from '../../base/errors.js'
import { LoopDevice } from '../../block/loop-device.js'
import { nativePort } from '../../kernel/native-port.js'
import { deviceNumber } from '../../base/device-number.js'
import type { StoreContext } from '../engine/context.js'
import type { StoreFinding } from '../common/findings.js'
import { leftMounts, sweepMount } from '../engine/temporary-mounts.js'
import { ageOf, compare, end, keyOf, unfinished } from './recover.js'

export interface RepairOptions {
  /** Say what would be done, and do nothing. Default false. */
  readonly dryRun?: boolean
  /** Delete the volumes that the store knows nothing of, too. What is on them is lost. Default false. */
  readonly deleteRetired?: boolean
  /**
   * The pool is right where it is older than the records (`transaction-behind`): without this no record and no volume is
   * deleted then. What was recorded of layers that this pool has not is lost. Default false.
   */
  readonly acceptPool?: boolean
}

/** Changes nothing. */
export async function verify(store: StoreContext): Promise<StoreFinding[]> {
  const findings = await compare(store, false)
  for (const row of await unfinished(store))
    findings.push({ kind: 'unfinished', ...keyOf(row), thin: row.thin, action: 'none' })
  for (const detail of await leftMounts(store)) findings.push({ kind: 'left-mounted', detail, action: 'none' })
  for (const row of store.records.unready()) {
    if (row.state === 'retired') findings.push({ kind: 'volume-without-layer', thin: row.thin, action: 'none' })
  }
  for (const { thin, error } of store.removals.stuck)
    findings.push({ kind: 'removal-stuck', thin, error, action: 'none' })
  return [...findings, ...(await devices(store)), ...(await loops(store))]
}

/** Volumes with two devices, or with one that another program made. */
async function devices({ pool }: StoreContext): Promise<StoreFinding[]> {
  const port = nativePort()
  const { targetDevice } = await port.identify(pool.path)
  const seen = new Map<number, string>()
  const findings: StoreFinding[] = []
  for (const { id, name } of await port.activeThins(targetDevice)) {
    const other = seen.get(id)
    if (other !== undefined)
      findings.push({ kind: 'active-twice', thin: id, detail: `${other}, ${name}`, action: 'none' })
    else if (name !== `${pool.name}-${id}`) {
      findings.push({ kind: 'foreign-device', thin: id, detail: name, action: 'none' })
    }
    seen.set(id, name)
  }
  return findings
}

/** Loop devices over files of this store that its pool does not stand on. A folder of it may be another store's. */
async function loops({ pool, directory }: StoreContext): Promise<StoreFinding[]> {
  const used = (await nativePort().tableDeps({ name: pool.name })).map(deviceNumber)
  return (await LoopDevice.list())
    .filter(loop => path.dirname(loop.file) === directory && !used.includes(`7:${loop.number}`))
    .map(loop => ({ kind: 'leaked-loop', detail: loop.path, action: 'none' }))
}

export async function repair(store: StoreContext, options: RepairOptions): Promise<StoreFinding[]> {
  const findings = await verify(store)
  const isBehind = ageOf(findings) === 'behind' && !options.acceptPool
  const planOf = (finding: StoreFinding) =>
    isBehind && BY_THE_RECORDS.has(finding.kind) ? 'none' : planned(finding, store, options)
  if (options.dryRun) return findings.map(finding => ({ ...finding, action: planOf(finding) }))
  const done: StoreFinding[] = []
  for (const finding of findings) {
    const action = planOf(finding)
    const error = action === 'none' ? undefined : await act(store, finding)
    done.push(error ? { ...finding, error } : { ...finding, action })
  }
  return done
}

/** What is deleted for these was found by records that an older pool does not answer to. */
const BY_THE_RECORDS: ReadonlySet<StoreFinding['kind']> = new Set([
  'layer-without-volume',
  'volume-without-layer',
  'unfinished',
])

function planned(finding: StoreFinding, store: StoreContext, options: RepairOptions): StoreFinding['action'] {
  switch (finding.kind) {
    case 'layer-without-volume': {
      // With children there is something left of it: what they have.
      const row = store.records.byThin(finding.thin!)
      return row && store.records.childOf(row.id) === undefined ? 'deleted' : 'none'
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

async function act(store: StoreContext, finding: StoreFinding): Promise<DmThinError | undefined> {
  try {
    await repairOne(store, finding)
    return undefined
  } catch (fault) {
    return fault as DmThinError
  }
}

async function repairOne(store: StoreContext, { kind, thin, detail }: StoreFinding): Promise<void> {
  const { records, writer, pool } = store
  const row = thin === undefined ? undefined : records.byThin(thin)
  switch (kind) {
    case 'leaked-loop':
      await (await LoopDevice.list()).find(loop => loop.path === detail)?.detach()
      return
    case 'left-mounted':
      return sweepMount(detail!)
    case 'unfinished':
      if (row) await end(store, row, await store.volumes.ids())
      return
    case 'transaction-behind': {
      const { transactionId } = await pool.status()
      if (transactionId !== undefined) await writer.write(() => records.acceptTransaction(transactionId))
      return
    }
    case 'volume-without-layer':
      await (await pool.volume(thin!)).delete()
      break
    default:
  }
  if (row) await writer.write(() => records.delete(row))
}
