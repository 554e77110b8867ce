// Comparison of the record with the kernel when a pool is opened. The kernel's state is authoritative; differences are
// reported.
import { undefinedIf } from '../../base/errors.js'
import type { PoolTable } from '../../target/thin-pool.js'
import { sectorsToBytes } from '../../base/units.js'
import { poolTable, type PoolAddress, type PoolContext } from '../state/context.js'
import { thinIds } from '../metadata-read/live-volumes.js'
import type { DeviceInfo } from '../../kernel/port/device-port.js'
import { optionsOf, TABLE_OPTIONS } from '../state/table-options.js'
import { unkeptTable } from './keeper-mark.js'
import type { Finding } from './crash-recovery.js'
import { PoolRecord, readRecord, refuseForeignRecord, type RecordContent } from '../state/record.js'

/** Creates the record of a new pool. */
export async function newRecord(pool: PoolAddress, file: string): Promise<PoolRecord> {
  return PoolRecord.write(pool.port, file, contentOf(pool.name, await poolTable(pool)))
}

/** Returns the record of a running pool, updated to the kernel's state, and the differences. */
export async function checkedRecord(
  pool: PoolAddress,
  running: Pick<DeviceInfo, 'device' | 'uuid'>,
  table: PoolTable,
  file: string,
  signal?: AbortSignal,
): Promise<{ readonly record: PoolRecord; readonly findings: Finding[] }> {
  const { port, name } = pool
  const truth = contentOf(name, await unkeptTable(pool, running, signal, table))
  const found = await readRecord(port, file)
  const findings: Finding[] = []
  const tell = (kind: Finding['kind'], action: Finding['action'], detail: string) =>
    void findings.push({ kind, device: name, action, detail })
  const ids = await thinIds({ ...pool, device: running.device, uuid: running.uuid }, signal).catch(
    undefinedIf('DM_METADATA_BUSY', 'DM_METADATA_CORRUPT'),
  )
  if (typeof found === 'string') {
    tell(found === 'missing' ? 'record-missing' : 'record-damaged', 'rebuilt', file)
    return { record: await PoolRecord.write(port, file, truth), findings }
  }
  refuseForeignRecord(file, found, name, truth.dataBlockBytes)
  for (const [what, was, is] of differences(found, truth))
    tell('record-differs', 'rebuilt', `${what}: ${was}, is ${is}`)
  const there = new Set(ids)
  const volumes = new Map([...found.volumes].filter(([id]) => ids === undefined || there.has(id)))
  for (const id of found.volumes.keys()) if (!volumes.has(id)) tell('volume-missing', 'dropped', String(id))
  for (const id of there) if (!volumes.has(id)) tell('volume-not-recorded', 'none', String(id))
  const isSame = findings.every(({ kind }) => kind === 'volume-not-recorded')
  const record = await PoolRecord.open(port, file, { ...truth, volumes, starts: found.starts }, isSame)
  return { record, findings }
}

/** Records the present length of the pool. */
export async function recordLength(context: PoolContext): Promise<void> {
  const { record } = context
  if (!record) return
  const { lengthSectors } = await poolTable(context)
  await record.change(content => ({ ...content, dataBytes: sectorsToBytes(lengthSectors) }))
}

function contentOf(pool: string, table: PoolTable): RecordContent {
  return {
    pool,
    dataBlockBytes: sectorsToBytes(table.blockSectors),
    dataBytes: sectorsToBytes(table.lengthSectors),
    options: optionsOf(table),
    volumes: new Map(),
  }
}

function differences(was: RecordContent, is: RecordContent): (readonly [string, string, string])[] {
  const options = TABLE_OPTIONS.map(name => [name, was.options[name], is.options[name]] as const)
  return [['dataBytes', was.dataBytes, is.dataBytes] as const, ...options].flatMap(([what, a, b]) =>
    a === b ? [] : [[what, String(a), String(b)] as const],
  )
}
