// Changes of a pool's metadata. Success means that the metadata on disk has the change.
import { DmThinError, ERRNO } from '../../base/errors.js'
import type { Outcome, SnapshotItem } from '../../kernel/port/pool-port.js'
import { readPoolMetadata, type PoolMetadata } from '../../metadata/reader.js'
import { message } from '../../target/messages.js'
import { explained } from './explain-error.js'
import { knownPool, type PoolContext } from './context.js'
import { readMetadata } from './live-metadata.js'

export const isCommitted = ({ durability }: Pick<PoolContext, 'durability'>): boolean => durability === 'committed'

/** Sends a message that changes the pool. With `durability: 'committed'`, success means that the change is on disk. */
export async function changePool(context: PoolContext, text: string, signal?: AbortSignal): Promise<void> {
  const { port, address } = context
  const sent = port.targetMessage(address, 0, text, signal, 0, isCommitted(context))
  await sent.catch(unlessOnDisk(context, text))
}

interface NewThin {
  readonly id: number
  /** The thin id of which it is a snapshot. Default: none, it is empty. */
  readonly originId?: number | undefined
}

/**
 * Creates a thin id, and does not suspend its origin. If `committed`, success means that it is on disk. Default: as the
 * pool's durability says.
 */
export async function createThin(
  context: PoolContext,
  { id, originId }: NewThin,
  signal?: AbortSignal,
  committed = isCommitted(context),
): Promise<void> {
  const text = originId === undefined ? message.createThin(id) : message.createSnap(id, originId)
  const request = { pool: knownPool(context), id, committed, ...(originId !== undefined && { originId }) }
  await context.port.createThin(request, signal).catch(unlessOnDisk(context, text))
}

/** Sends several messages in one native call, each as `changePool` does. */
export function changePoolEach(
  context: PoolContext,
  texts: readonly string[],
  options: Parameters<PoolContext['port']['targetMessages']>[4],
): Promise<Outcome[]> {
  const { port, address } = context
  return port
    .targetMessages(address, 0, texts, isCommitted(context), options)
    .then(outcomes => Promise.all(outcomes.map((outcome, at) => settled(context, texts[at]!, outcome))))
}

/**
 * Changes items of `port.snapshot` to successes if their commit failed for lack of space and their snapshot is on disk
 * nevertheless.
 */
export function settledSnapshots(
  context: PoolContext,
  origin: number,
  items: readonly SnapshotItem[],
): Promise<SnapshotItem[]> {
  const settle = async (item: SnapshotItem): Promise<SnapshotItem> => {
    const doubtful = item.operation === 'commit' && item.errno === ERRNO.ENOSPC
    return doubtful && (await isOnDisk(context, message.createSnap(item.id, origin))) ? { ...item, errno: 0 } : item
  }
  return Promise.all(items.map(settle))
}

/** Sends a message, and has its commit proved whatever the durability. */
export async function commitMessage(context: PoolContext, text: string, signal?: AbortSignal): Promise<void> {
  const { port, address } = context
  const sent = port.targetMessage(address, 0, text, signal, 0, true)
  await explained(context, sent.catch(unlessOnDisk(context, text)))
}

/** Commits the changes that the pool has in memory. */
export async function commitPool(context: PoolContext, signal?: AbortSignal): Promise<void> {
  const { port, address } = context
  await explained(context, port.commit(address, signal))
}

/**
 * Returns true if the pool is out of metadata space: the commit that exhausted it has succeeded, a commit begun later
 * has not.
 */
const isDoubtful = (fault: unknown): boolean =>
  fault instanceof DmThinError && fault.code === 'DM_NOT_COMMITTED' && fault.errno === ERRNO.ENOSPC

const unlessOnDisk = (context: PoolContext, text: string) => async (fault: unknown) => {
  if (isDoubtful(fault) && (await isOnDisk(context, text))) return
  throw fault
}

async function settled(context: PoolContext, text: string, outcome: Outcome): Promise<Outcome> {
  return isDoubtful(outcome) && (await isOnDisk(context, text)) ? 0 : outcome
}

async function isOnDisk(context: PoolContext, text: string): Promise<boolean> {
  const found = await readMetadata(context, undefined, readPoolMetadata).catch(() => undefined)
  return found !== undefined && hasChange(found, text)
}

/** Returns true if the metadata has the change that a message requests. */
function hasChange({ superblock, thins }: PoolMetadata, text: string): boolean {
  const [command, first, second] = text.split(' ')
  const exists = thins.some(({ id }) => id === Number(first))
  if (command === 'create_thin' || command === 'create_snap') return exists
  if (command === 'delete') return !exists
  if (command === 'set_transaction_id') return superblock.transactionId === BigInt(second ?? -1)
  return (command === 'reserve_metadata_snap') === (superblock.metadataSnapshotBlock !== 0)
}
