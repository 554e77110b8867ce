// Clean stops of a pool: those of which it is proved that they have lost nothing. Bookmarks stay valid over them
// (docs/bookmarks.md). In doubt, a stop is not clean:
// - before the pool is removed, its metadata is committed, with no volume active, and the commit is verified;
// - after that, the record gets a digest of the metadata, and the next start compares it with the metadata that it finds;
// - the digest is deleted from the record before that start, so that it is used once.
import { createHash } from 'node:crypto'
import { DmThinError, hasCode } from '../../base/errors.js'
import type { FilePort } from '../../kernel/port/file-port.js'
import { METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import { parseSuperblock } from '../../metadata/superblock.js'
import { commitPool } from './commit-point.js'
import { isNamedByVolumes, poolStatusLine, type PoolContext } from './context.js'
import { PoolRecord, readRecord, type RecordedStarts } from './record.js'

type Signal = AbortSignal | undefined

/** The number of starts that are recorded. */
const MAX_STARTS = 64

/** Returns true if nothing was lost between the start of the pool with this uuid and the present one. */
export async function isSinceStart(pool: PoolContext, uuid: string): Promise<boolean> {
  return uuid === pool.uuid || (await startsUntilNow(pool)).includes(uuid)
}

/** Returns the uuids of the starts since which nothing was lost, the present one last. */
export async function startsUntilNow(pool: PoolContext): Promise<readonly string[]> {
  const recorded = uuidsOf((await pool.record?.read())?.starts, pool.uuid)
  return recorded.length > 0 ? recorded : [pool.uuid]
}

/**
 * Commits the pool before it is removed, and returns the digest of its metadata; undefined if the stop will not be clean,
 * or if nobody will know.
 */
export async function cleanState(pool: PoolContext, signal: Signal): Promise<string | undefined> {
  if (!pool.record || !isNamedByVolumes(pool)) return undefined
  try {
    await commitPool(pool, signal)
    const line = await poolStatusLine(pool, signal)
    if (!('transactionId' in line) || line.needsCheck) return undefined
    return await digestOf(pool.port, pool.metadataPath, signal)
  } catch (fault) {
    if (!(fault instanceof DmThinError) || fault.code === 'ABORT_ERR') throw fault
    return undefined // A pool that cannot commit is removed all the same.
  }
}

/** Records that the pool was stopped in this state. If the record is missing or damaged, the stop does not count as clean. */
export async function recordStop({ port, record, uuid }: PoolContext, stopped: string): Promise<void> {
  if (!record) return
  try {
    if (typeof (await readRecord(port, record.file)) === 'string') return
    await record.change(content => {
      const uuids = uuidsOf(content.starts, uuid)
      return { ...content, starts: { uuids: uuids.length > 0 ? uuids : [uuid], stopped } }
    })
  } catch (fault) {
    // The pool is removed already: the call has succeeded.
    if (!hasCode(fault, 'DM_RECORD')) throw fault
  }
}

/** Returns the starts before a clean stop that left this metadata, and deletes them from the record; without one, none. */
export async function takeCleanStop(
  port: FilePort,
  file: string,
  metadataPath: string,
  signal: Signal,
): Promise<readonly string[]> {
  const found = await readRecord(port, file)
  if (typeof found === 'string' || !found.starts) return []
  const { uuids, stopped } = found.starts
  const record = await PoolRecord.open(port, file, found, true)
  await record.change(withStarts(undefined))
  if (stopped === undefined) return []
  const digest = await digestOf(port, metadataPath, signal).catch(() => undefined)
  return digest === stopped ? uuids : []
}

/** Records the running start, after those before a clean stop. Without them, deletes starts that it does not continue. */
export async function recordStart(record: PoolRecord, before: readonly string[], uuid: string): Promise<void> {
  const { starts } = record.content
  if (before.length > 0) await record.change(withStarts({ uuids: [...before, uuid].slice(-MAX_STARTS) }))
  else if (starts && uuidsOf(starts, uuid).length === 0) await record.change(withStarts(undefined))
}

const withStarts =
  (starts: RecordedStarts | undefined) =>
  <T extends object>(content: T): T & { starts: RecordedStarts | undefined } => ({ ...content, starts })

/** Returns the recorded starts if the last of them runs as this. */
const uuidsOf = (starts: RecordedStarts | undefined, running: string): readonly string[] =>
  starts && starts.stopped === undefined && starts.uuids.at(-1) === running ? starts.uuids : []

/**
 * Returns a digest of the superblock and of the roots of both trees. The kernel never writes in place what it has
 * committed, so that a later state has another superblock; the roots make an accident unlikely, such as metadata of an
 * earlier time whose blocks were allocated alike.
 */
async function digestOf(port: FilePort, metadataPath: string, signal: Signal): Promise<string> {
  const read = async (block: number): Promise<Uint8Array> =>
    (await port.readBlocks(metadataPath, [block], METADATA_BLOCK_BYTES, false, signal))[0]!
  const bytes = await read(0)
  const { dataMappingRoot, deviceDetailsRoot } = parseSuperblock(bytes)
  const hash = createHash('sha256').update(bytes)
  for (const root of [dataMappingRoot, deviceDetailsRoot]) hash.update(await read(root))
  return hash.digest('hex')
}
