// The file or device below each device of a pool, and the space that it can still get.
import { loopOf } from '../../block/find-loop.js'
import { nodePath } from '../../block/node-path.js'
import { invalid } from '../../base/options.js'
import { GiB } from '../../base/units.js'
import { poolTable, type PoolContext } from '../state/context.js'
import type { PoolTable } from '../../target/thin-pool.js'
import type { Room } from './growth.js'
import type { KeepPlan, PoolRole } from './keep-options.js'

/** The upper limit of the default reserve, which is a twentieth of the file system below a file. */
const MAX_DEFAULT_RESERVE_BYTES = 1 * GiB

/** The file or device below a device of the pool. */
export interface BackingRoom extends Room {
  /** The path of the file, or the node of the block device. */
  readonly path: string
  readonly isFile: boolean
}

/** Returns true if the device is a loop device over a file, which the library grows itself. */
export async function isOnFile(context: PoolContext, role: PoolRole, signal?: AbortSignal): Promise<boolean> {
  const table = await poolTable(context, signal)
  return (await loopOf(context.port, numberOf(table, role), signal)) !== undefined
}

/** Rejects with `DM_INVALID_ARGUMENT` if a block device has no hook. */
export async function checkHooks(context: PoolContext, plan: KeepPlan, signal?: AbortSignal): Promise<void> {
  for (const role of ['data', 'metadata'] as const) {
    if (plan[role].extend !== undefined || (await isOnFile(context, role, signal))) continue
    throw invalid(`pool ${context.name}: its ${role} is a block device; pass ${role}.extend, which grows it`)
  }
}

export async function roomOf(
  context: PoolContext,
  role: PoolRole,
  reserveBytes: number | undefined,
  signal?: AbortSignal,
): Promise<BackingRoom> {
  const { port } = context
  const table = await poolTable(context, signal)
  const file = await fileOf(context, table, role, signal)
  if (!file) {
    const path = nodePath(numberOf(table, role))
    const backingBytes = await port.blockSizeBytes(path, signal)
    return { path, isFile: false, backingBytes, allocatedBytes: 0, hostBytes: undefined }
  }
  const host = await port.fileSystemSpace(file.path)
  const reserved = reserveBytes ?? Math.min(Math.floor(host.totalBytes / 20), MAX_DEFAULT_RESERVE_BYTES)
  const metadata = role === 'data' ? await fileOf(context, table, 'metadata', signal) : undefined
  // Sparse metadata on the same file system gets its space first: without it, the data cannot be found.
  const promised = metadata?.device === file.device ? metadata.backingBytes - metadata.allocatedBytes : 0
  const hostBytes = Math.max(0, host.freeBytes - reserved - Math.max(0, promised))
  return { ...file, isFile: true, hostBytes }
}

async function fileOf({ port }: PoolContext, table: PoolTable, role: PoolRole, signal?: AbortSignal) {
  const loop = await loopOf(port, numberOf(table, role), signal)
  if (!loop) return undefined
  const { device, sizeBytes, allocatedBytes } = await port.identify(loop.file, signal)
  return { path: loop.file, device, backingBytes: Math.max(loop.sizeBytes, sizeBytes), allocatedBytes }
}

const numberOf = (table: PoolTable, role: PoolRole): string =>
  role === 'data' ? table.dataDevice : table.metadataDevice
