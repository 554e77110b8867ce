// Activation of the recorded volumes when a pool is opened: after a restart of the machine, none is active.
import { throwIfAborted } from '../base/errors.js'
import { invalid, signalOption } from '../base/options.js'
import type { OpenPoolOptions } from './lifecycle/pool-options.js'
import type { Finding } from './lifecycle/crash-recovery.js'
import type { PoolContext } from './state/context.js'
import { activateMany } from './volume/bulk.js'
import { findVolumes } from './volume/find-volume.js'
import { checkThinId } from './state/thin-ids.js'

/** Returns the ids of the volumes to activate, `'recorded'`, or undefined for none. */
export function checkActivate(options: OpenPoolOptions): 'recorded' | readonly number[] | undefined {
  const { activate, record } = (options ?? {}) as { readonly activate?: unknown; readonly record?: unknown }
  if (activate === undefined) return undefined
  if (record === undefined) throw invalid('ThinPool.open: activate requires record, which has the names and sizes')
  if (activate === 'recorded') return activate
  if (!Array.isArray(activate)) throw invalid("activate must be 'recorded' or a list of thin ids")
  return activate.map(checkThinId)
}

/** Activates recorded volumes that are not active. Returns a finding for each that cannot be activated. */
export async function activateRecorded(
  pool: PoolContext,
  wanted: 'recorded' | readonly number[],
  signal?: AbortSignal,
): Promise<Finding[]> {
  const recorded = pool.record?.content.volumes
  const isComplete = (id: number) => recorded?.has(id) === true && !recorded.get(id)!.receiving
  const isWanted = (id: number) => (wanted === 'recorded' ? isComplete(id) : wanted.includes(id))
  const inactive = (await findVolumes(pool, signal)).filter(({ id, active }) => !active && isWanted(id))
  const results = await activateMany(pool, inactive, signalOption(signal), false)
  throwIfAborted(signal)
  return results.flatMap(result => {
    if (result.status === 'fulfilled') return []
    const { volume, reason } = result
    return [
      {
        kind: 'volume-inactive',
        device: volume.name,
        action: 'none',
        detail: String(volume.id),
        error: reason,
      } as const,
    ]
  })
}
