// Volumes into which a call receives. The record marks them until they are complete; if the call is killed, the next one
// deletes them.
import { hasCode } from '../base/errors.js'
import { signalOption } from '../base/options.js'
import { changePool, commitPool } from '../pool/state/commit-point.js'
import type { PoolContext } from '../pool/state/context.js'
import { explained } from '../pool/state/explain-error.js'
import { admitted } from '../pool/state/reserve.js'
import { findVolume } from '../pool/volume/find-volume.js'
import { recordDeleted, recordNew } from '../pool/volume/recorded.js'
import { ThinVolume } from '../pool/volume/thin-volume.js'
import { message } from '../target/messages.js'

type Signal = AbortSignal | undefined

/** The facts of a volume that is created for a receive. */
export interface Wanted {
  readonly sizeBytes: number
  readonly name?: string | undefined
  /** The volume of which it is a snapshot. Default: none, it is empty. */
  readonly origin?: number | undefined
}

/**
 * Creates an inactive volume that is marked as unfinished. An active origin is not suspended: its snapshot is used only if
 * all its mappings are older, and a write to such a block is never in place.
 */
export function createUnfinished(pool: PoolContext, wanted: Wanted, signal: Signal): Promise<ThinVolume> {
  const { sizeBytes, origin, name } = wanted
  const create = (id: number) => (origin === undefined ? message.createThin(id) : message.createSnap(id, origin))
  const make = async (id: number): Promise<ThinVolume> => {
    await admitted(pool, origin === undefined ? 0 : 1, () => changePool(pool, create(id), signal))
    const volume = new ThinVolume(pool, { id, sizeBytes, origin, name })
    await recordNew(pool, [[id, { name: volume.name, sizeBytes, receiving: true }]])
    return volume
  }
  return explained(pool, pool.ids.withNew(signal, make))
}

/** Deletes the volumes that are marked as unfinished. No other call may receive into the pool. */
export async function deleteUnfinished(pool: PoolContext, signal: Signal): Promise<void> {
  const recorded = [...((await pool.record?.read())?.volumes ?? [])]
  const unfinished = recorded.filter(([, { receiving }]) => receiving)
  // Whether a volume exists is read from the last commit.
  if (unfinished.length > 0) await commitPool(pool, signal)
  for (const [id] of unfinished) {
    try {
      const volume = await findVolume(pool, id, {}, 'all', signal)
      await volume.destroy(signalOption(signal))
    } catch (fault) {
      if (!hasCode(fault, 'DM_VOLUME_NOT_FOUND')) throw fault
      await recordDeleted(pool, [id])
    }
  }
}
