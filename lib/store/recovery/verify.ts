// The search for inconsistencies between the records, the pool and the kernel.
import path from 'node:path'
import { LoopDevice } from '../../block/loop-device.js'
import { nativePort } from '../../kernel/native-port.js'
import { loopNumber } from '../../base/device-number.js'
import type { StoreParts } from '../engine/parts.js'
import type { StoreFinding } from '../common/findings.js'
import { leftMounts } from '../engine/temporary-mounts.js'
import { unfinished } from '../engine/unfinished.js'
import { unrecorded, claimStates } from './unrecorded.js'
import { compare, keyOf } from './consistency.js'

/** Returns all inconsistencies. Changes nothing. */
export async function verify(parts: StoreParts): Promise<StoreFinding[]> {
  const findings = await compare(parts, false)
  for (const row of await unfinished(parts))
    findings.push({ kind: 'unfinished', ...keyOf(row), thin: row.thin, action: 'none' })
  const left = await unrecorded(parts, (await claimStates(parts)).dead)
  for (const thin of left.unfinished) findings.push({ kind: 'unfinished', thin, action: 'none' })
  for (const thin of left.strange) findings.push({ kind: 'volume-without-layer', thin, action: 'none' })
  for (const detail of await leftMounts(parts)) findings.push({ kind: 'left-mounted', detail, action: 'none' })
  for (const row of parts.records.unready()) {
    if (row.state === 'retired') findings.push({ kind: 'volume-without-layer', thin: row.thin, action: 'none' })
  }
  for (const { thin, error } of parts.removals.stuck)
    findings.push({ kind: 'removal-stuck', thin, error, action: 'none' })
  return [...findings, ...(await devices(parts)), ...(await loops(parts))]
}

/** Finds volumes that have two devices, or a device of another program. */
async function devices({ pool }: Pick<StoreParts, 'pool'>): Promise<StoreFinding[]> {
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

/** Finds loop devices of files in the store's directory that its pool does not use. Subfolders may be other stores. */
async function loops({ pool, directory }: Pick<StoreParts, 'pool' | 'directory'>): Promise<StoreFinding[]> {
  const used = await nativePort().tableDeps({ name: pool.name })
  return (await LoopDevice.list())
    .filter(loop => path.dirname(loop.file) === directory && !used.includes(loopNumber(loop.number)))
    .map(loop => ({ kind: 'leaked-loop', detail: loop.path, action: 'none' }))
}
