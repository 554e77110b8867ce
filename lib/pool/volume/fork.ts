// The fork of a volume: active snapshots of one point in time. All of them or none.
import { BUSY_RETRY_MS } from '../../kernel/port/device-port.js'
import { Rollback } from '../../base/rollback.js'
import type { PoolContext } from '../state/context.js'
import { volumesOf, type ManyOptions, type VolumeResult } from './batch.js'
import { activateMany, deactivateMany, deleteMany, snapshotMany } from './bulk.js'
import type { ThinVolume } from './thin-volume.js'

/**
 * Creates and activates snapshots of `origin`. The first is a snapshot of the origin, and the others are snapshots of the
 * first before it is active: that is why an active origin is suspended once, and why all have the same content. If a step
 * fails, deletes all of them.
 */
export async function forkVolume(
  pool: PoolContext,
  origin: ThinVolume,
  wanted: number | readonly number[],
  options: ManyOptions,
): Promise<ThinVolume[]> {
  const { signal } = options
  const count = typeof wanted === 'number' ? wanted : wanted.length
  const rollback = new Rollback()
  return rollback.guard(async () => {
    const made: ThinVolume[] = []
    const snapshots = async (of: ThinVolume, some: number | readonly number[]) => {
      const results = await snapshotMany(pool, of, some, signal)
      const fulfilled = results.filter(({ status }) => status === 'fulfilled').map(({ volume }) => volume)
      made.push(...fulfilled)
      rollback.push('delete', pool.name, () => allOf(deleteMany(pool, fulfilled, {})))
      return volumesOf(results)
    }
    const [first] = await snapshots(origin, typeof wanted === 'number' ? 1 : wanted.slice(0, 1))
    if (count > 1) await snapshots(first!, typeof wanted === 'number' ? count - 1 : wanted.slice(1))
    rollback.push('deactivate', pool.name, () =>
      allOf(
        deactivateMany(
          pool,
          made.filter(({ active }) => active),
          {},
          BUSY_RETRY_MS,
        ),
      ),
    )
    return volumesOf(await activateMany(pool, made, options, false))
  })
}

const allOf = async (results: Promise<readonly VolumeResult<unknown>[]>): Promise<unknown> => volumesOf(await results)
