// The move of an active volume's device to another content. The device keeps its name, its uuid and its number, and stays
// open. Its uuid contains the id of the volume, so that a device whose table has another id is on its way back to that id.
import { undefinedIf } from '../../base/errors.js'
import { DEVICE_FLAG, TABLE_FLAG, type TargetLine } from '../../kernel/port/device-port.js'
import { listThins } from '../../metadata/reader.js'
import { message } from '../../target/messages.js'
import { commitMessage, createThin } from '../state/commit-point.js'
import { knownPool, type PoolContext } from '../state/context.js'
import { explained } from '../state/explain-error.js'
import { readMetadata } from '../state/live-metadata.js'
import { withSharedLock } from '../state/locks.js'
import { admitted } from '../state/space-reserve.js'
import type { VolumeState } from './volume-state.js'

interface Move {
  /** The thin id whose content the device gets. It must not be written, except through this device. */
  readonly originId: number
  /** The thin id of the snapshot that the device has afterwards. */
  readonly id: number
  /**
   * The number of snapshots, this one and those of later steps, that the pool must admit. Default: the pool is not asked,
   * because a step before has been admitted.
   */
  readonly snapshots?: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Moves the device of an active volume to a new snapshot. The device is suspended from before the snapshot until it has the
 * snapshot's table: nothing is written to the former content after the snapshot exists.
 */
export async function moveToSnapshot(state: VolumeState, { originId, id, snapshots, signal }: Move): Promise<void> {
  const { pool, address, id: lockedId } = state
  state.activeDevice()
  const [line] = await pool.port.tableStatus(address, TABLE_FLAG.table | TABLE_FLAG.noflush, signal)
  const table = [{ ...line!, parameters: `${pool.number} ${id}` }]
  const request = { pool: knownPool(pool), device: address, lockedId, originId, id, table }
  const send = () => withSharedLock(pool, signal, () => pool.port.moveToSnapshot(request, signal))
  await explained(pool, snapshots === undefined ? send() : admitted(pool, snapshots, send))
  pool.ids.use(id)
}

/** Creates a snapshot of a volume that has no device. Resolves when it is committed, whatever the pool's durability. */
export async function createSnapshot(pool: PoolContext, originId: number, id: number): Promise<void> {
  await explained(pool, createThin(pool, { id, originId }, undefined, true))
  pool.ids.use(id)
}

/**
 * Changes the thin id of the content of a volume that has no device. The kernel's time does not depend on the content: the
 * blocks are freed when `to` is deleted. Resolves when both changes are committed, whatever the pool's durability.
 */
export async function renumber(pool: PoolContext, from: number, to: number): Promise<void> {
  await createSnapshot(pool, from, to)
  await deleteThin(pool, from)
}

/** Deletes a thin id that no device has. Resolves when this is committed, whatever the pool's durability. */
export async function deleteThin(pool: PoolContext, id: number): Promise<void> {
  await commitMessage(pool, message.delete(id))
  pool.ids.free(id)
}

/** Returns the thin id in the table of the volume's device; undefined if the volume has no device. */
export async function thinBelow({ pool: { port }, address }: VolumeState): Promise<number | undefined> {
  const info = await port.deviceStatus(address).catch(undefinedIf('DM_NOT_FOUND'))
  if (info === undefined || (info.flags & DEVICE_FLAG.activeTable) === 0) return undefined
  const lines = await port.tableStatus(address, TABLE_FLAG.table | TABLE_FLAG.noflush)
  return idIn(lines[0])
}

const idIn = (line: TargetLine | undefined): number | undefined => {
  const [, id] = line?.parameters.split(' ') ?? []
  return id === undefined ? undefined : Number(id)
}

/**
 * Returns the value of the pool's snapshot clock at the creation of each volume, by thin id. Of two volumes, of which one
 * was made before a snapshot and the other is this snapshot or younger, the second has the higher value.
 */
export async function creationTimes(pool: PoolContext): Promise<Map<number, number>> {
  const thins = await readMetadata(pool, undefined, source => listThins(source))
  return new Map(thins.map(({ id, creationTime }) => [id, creationTime]))
}
