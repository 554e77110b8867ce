// Looking for every disagreement between records, pool and kernel; and mending those that are safe to mend.
import path from 'node:path'
import type { DmThinError } from '../errors.js'
import { LoopDevice } from '../index.js'
import { nativePort } from '../kernel/native-port.js'
import { deviceNumber } from '../kernel/port.js'
import type { StoreContext } from './context.js'
import type { StoreFinding } from './findings.js'
import { compare } from './recover.js'

export interface RepairOptions {
  /** Say what would be done, and do nothing. Default false. */
  readonly dryRun?: boolean
  /** Delete the volumes that the store knows nothing of, too. What is on them is lost. Default false. */
  readonly deleteRetired?: boolean
}

/** Changes nothing. */
export async function verify(store: StoreContext): Promise<StoreFinding[]> {
  const findings = await compare(store, false)
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

/** Loop devices over files of this store that its pool does not stand on. */
async function loops({ pool, directory }: StoreContext): Promise<StoreFinding[]> {
  const used = (await nativePort().tableDeps({ name: pool.name })).map(deviceNumber)
  return (await LoopDevice.list())
    .filter(loop => loop.file.startsWith(directory + path.sep) && !used.includes(`7:${loop.number}`))
    .map(loop => ({ kind: 'leaked-loop', detail: loop.path, action: 'none' }))
}

export async function repair(store: StoreContext, options: RepairOptions): Promise<StoreFinding[]> {
  const findings = await verify(store)
  if (options.dryRun) return findings.map(finding => ({ ...finding, action: planned(finding, store, options) }))
  const done: StoreFinding[] = []
  for (const finding of findings) {
    const action = planned(finding, store, options)
    const error = action === 'none' ? undefined : await act(store, finding)
    done.push(error ? { ...finding, error } : { ...finding, action })
  }
  return done
}

function planned(finding: StoreFinding, store: StoreContext, options: RepairOptions): StoreFinding['action'] {
  switch (finding.kind) {
    case 'layer-without-volume': {
      // With children there is something left of it: what they have.
      const row = store.records.byThin(finding.thin!)
      return row && store.records.childOf(row.id) === undefined ? 'deleted' : 'none'
    }
    case 'volume-without-layer':
      return options.deleteRetired ? 'deleted' : 'none'
    case 'leaked-loop':
      return 'detached'
    default:
      return 'none'
  }
}

async function act(store: StoreContext, finding: StoreFinding): Promise<DmThinError | undefined> {
  const { records, writer, pool } = store
  try {
    if (finding.kind === 'leaked-loop') {
      await (await LoopDevice.list()).find(loop => loop.path === finding.detail)?.detach()
    } else {
      if (finding.kind === 'volume-without-layer') await (await pool.volume(finding.thin!)).delete()
      await writer.write(() => {
        const row = records.byThin(finding.thin!)
        if (row) records.delete(row)
      })
    }
    return undefined
  } catch (fault) {
    return fault as DmThinError
  }
}
