// The keeper of a store's pool, and its effect on the reserve.
import { DmThinError } from '../../base/errors.js'
import { ruleOf, type Growth, type KeepOptions, type PoolRole } from '../../pool/keeper/options.js'
import type { WorkingPoolStatus } from '../../pool/state/status.js'
import type { ThinPool } from '../../pool/thin-pool.js'
import type { PoolPlace } from '../common/options.js'
import type { ReserveLimits } from '../engine/reserve.js'
import { allocateMetadata } from './allocate-metadata.js'

/** Starts the keeper, which ends with the pool object. Allocates the space of metadata that it has added. */
export async function keepPool(pool: ThinPool, keep: KeepOptions, { metadata }: PoolPlace): Promise<void> {
  const allocate = async () => {
    await allocateMetadata(metadata).catch((fault: unknown) => {
      if (!(fault instanceof DmThinError)) throw fault
      keep.onError?.(fault)
    })
  }
  const onGrow = (growth: Growth) => {
    if (growth.role === 'metadata') void allocate()
    keep.onGrow?.(growth)
  }
  await pool.keep({ ...keep, onGrow })
}

/** Returns the limits of the reserve of a kept pool: half of the free space at which it grows. */
export function reserveLimits(keep: KeepOptions | undefined, status: WorkingPoolStatus): ReserveLimits {
  if (keep === undefined) return { data: Infinity, metadata: Infinity }
  const limit = (role: PoolRole) => ruleOf(role, keep[role] ?? {}, status[role], true).growBelowBytes / 2
  return { data: limit('data'), metadata: limit('metadata') }
}
