// Volumes into which a call receives. The record marks them until they are complete; if the call is killed, the next one
// deletes them, or continues.
import { DmThinError, hasCode } from '../base/errors.js'
import { signalOption } from '../base/options.js'
import { nativePort } from '../kernel/native-port.js'
import type { PartialReceive } from '../pool/state/sent-states.js'
import { commitPool, createThin } from '../pool/state/commit-point.js'
import type { PoolContext } from '../pool/state/context.js'
import { explained } from '../pool/state/explain-error.js'
import { PoolLock } from '../pool/state/locks.js'
import type { PoolRecord } from '../pool/state/record.js'
import { admitted } from '../pool/state/space-reserve.js'
import type { ThinPool } from '../pool/thin-pool.js'
import { findVolume } from '../pool/volume/find-volume.js'
import { recordDeleted, recordNew } from '../pool/volume/recorded.js'
import { ThinVolume } from '../pool/volume/thin-volume.js'
import { refuseForeignPool } from './state.js'

type Signal = AbortSignal | undefined

/**
 * Runs `body` while no other call receives into the pool, and deletes the unfinished volumes that cannot continue: before, and
 * after `body` has failed. Rejects with `DM_UNSUPPORTED` if the pool cannot receive.
 */
export async function withoutOthers<T>(
  { context, name }: ThinPool,
  signal: Signal,
  body: (record: PoolRecord) => Promise<T>,
): Promise<T> {
  const { record, port } = context
  if (!record || port !== nativePort()) {
    throw new DmThinError('DM_UNSUPPORTED', `pool ${name} has no record: open it with \`record\` to receive volumes`)
  }
  refuseForeignPool(context)
  return context.pending.run(async () => {
    // Pool names have no `~`.
    const unlock = await new PoolLock(port, signal).take(`~receive-${name}`)
    try {
      await deleteUnfinished(context, signal)
      try {
        return await body(record)
      } catch (fault) {
        await deleteUnfinished(context, undefined).catch(() => {}) // the next call deletes it
        throw fault
      }
    } finally {
      unlock()
    }
  })
}

/** The facts of a volume that is created for a receive. */
export interface Wanted {
  readonly sizeBytes: number
  readonly name?: string | undefined
  /** The volume of which it is a snapshot. Default: none, it is empty. */
  readonly origin?: number | undefined
}

/**
 * Creates an inactive volume that is marked as unfinished. An active origin is not suspended: its snapshot is used only if
 * it has the mappings of the origin as it was received.
 */
export function createUnfinished(pool: PoolContext, wanted: Wanted, signal: Signal): Promise<ThinVolume> {
  const { sizeBytes, origin, name } = wanted
  const make = async (id: number): Promise<ThinVolume> => {
    await admitted(pool, origin === undefined ? 0 : 1, () => createThin(pool, { id, originId: origin }, signal))
    const volume = new ThinVolume(pool, { id, sizeBytes, origin, name })
    await recordNew(pool, [[id, { name: volume.name, sizeBytes, origin, receiving: true }]])
    return volume
  }
  return explained(pool, pool.ids.withNew(signal, make))
}

/** Records how far a volume is received, from where the receive can continue. */
export function recordPartial(record: PoolRecord, volume: ThinVolume, partial: PartialReceive): Promise<void> {
  const { id, name, sizeBytes, origin } = volume
  return record.put([[id, { name, sizeBytes, origin, receiving: partial }]])
}

/** Deletes the volumes that are marked as unfinished and cannot continue. */
async function deleteUnfinished(pool: PoolContext, signal: Signal): Promise<void> {
  const recorded = [...((await pool.record?.read())?.volumes ?? [])]
  const unfinished = recorded.filter(([, { receiving }]) => receiving === true)
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
