// The mark of a keeper: a file beside the pool's lock files with the options that the pool has without a keeper. The
// kernel has no place for them. The file is lost with /run when the machine stops, as the pool is.
import type { Handle } from '../../kernel/port/handle.js'
import type { DeviceInfo } from '../../kernel/port/device-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import type { PoolTable } from '../../target/thin-pool.js'
import { sectorsToBytes } from '../../base/units.js'
import { addressOf, poolTable, startOf, type PoolAddress } from '../state/context.js'
import { deleteSpares } from '../spares/spare-volumes.js'
import { refuseSuspended, reload, type ReloadedPool } from './reload.js'

/** The options of a pool's table that a keeper changes, with their values without a keeper. */
export type UnkeptOptions = Pick<PoolTable, 'lowWaterBlocks' | 'errorIfNoSpace'>

const LOCK_FOLDER = '/run/dm-thin'
/** Pool names have no `~`, so no pool's lock collides with these. */
const keeperKey = (pool: string): string => `~keeper-${pool}`
const successorKey = (pool: string): string => `~successor-${pool}`
const markFile = (pool: string): string => `${LOCK_FOLDER}/${keeperKey(pool)}.json`

type NamedPool = Pick<PoolAddress, 'port' | 'name'>

/** Takes the lock of the pool's active keeper. Returns undefined if a keeper of any process holds it. */
export const tryKeeperLock = ({ port, name }: NamedPool): Promise<Handle | undefined> =>
  port.tryLockPool(keeperKey(name))

/** Takes the lock of the keeper that takes over next. Returns undefined if another keeper holds it. */
export const trySuccessorLock = ({ port, name }: NamedPool): Promise<Handle | undefined> =>
  port.tryLockPool(successorKey(name))

/** The identity of a running pool. A pool that was removed and started again has another device or another uuid. */
type Running = Pick<DeviceInfo, 'device' | 'uuid'>

/** Returns the options without a keeper if the pool is kept, or was kept by a keeper that was killed. */
export async function readMark(port: KernelPort, name: string, running: Running): Promise<UnkeptOptions | undefined> {
  const text = await port.readRunFile(markFile(name))
  if (text === undefined) return undefined
  const { pool, lowWaterBlocks, errorIfNoSpace } = JSON.parse(text) as UnkeptOptions & { readonly pool: string }
  return pool === startOf(running) ? { lowWaterBlocks, errorIfNoSpace } : undefined
}

export async function writeMark(port: KernelPort, name: string, running: Running, rest: UnkeptOptions): Promise<void> {
  await port.replaceRunFile(markFile(name), `${JSON.stringify({ pool: startOf(running), ...rest })}\n`)
}

export const removeMark = (port: KernelPort, name: string): Promise<void> => port.deleteFile(markFile(name))

/**
 * Returns the pool's table with its options without a keeper. Those are compared and recorded. `known`: its table, if it
 * was just read.
 */
export async function unkeptTable(
  pool: PoolAddress,
  running: Running,
  signal?: AbortSignal,
  known?: PoolTable,
): Promise<PoolTable> {
  const table = known ?? (await poolTable(pool, signal))
  return { ...table, ...(await readMark(pool.port, pool.name, running)) }
}

/**
 * Restores the options that the pool has without a keeper. The caller holds the pool's lock and the keeper's.
 * `beforeEnd` runs when the pool has them; if the process is killed in it, the next `open` completes it.
 */
export async function restoreUnkept(
  pool: PoolAddress & Pick<ReloadedPool, 'resumes'>,
  rest: UnkeptOptions,
  beforeEnd: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  await refuseSuspended(pool)
  const table = await poolTable(pool)
  await reload({ ...pool, dataBlockBytes: sectorsToBytes(table.blockSectors) }, table, { ...table, ...rest })
  await beforeEnd()
  await removeMark(pool.port, pool.name)
}

/**
 * Restores the options without a keeper of a pool whose keeper was killed. Returns false if the pool has a keeper, or
 * one that waits to take over: the writers of a full pool would get errors although that keeper lets them continue.
 */
export async function endDeadKeeper(port: KernelPort, pool: DeviceInfo): Promise<boolean> {
  const { name } = pool
  if ((await readMark(port, name, pool)) === undefined) return false
  const locks: Handle[] = []
  try {
    for (const tryLock of [tryKeeperLock, trySuccessorLock]) {
      const lock = await tryLock({ port, name })
      if (lock === undefined) return false
      locks.push(lock)
    }
    const rest = await readMark(port, name, pool)
    if (rest === undefined) return false // the keeper stopped before this call had its lock
    const address = addressOf(pool)
    // If they are not deleted, they stay hidden, and the next keeper has them.
    const release = () => deleteSpares({ ...pool, port, address }).catch(() => {})
    await restoreUnkept({ port, name, address }, rest, release)
    return true
  } finally {
    for (const lock of locks) await port.release(lock)
  }
}
