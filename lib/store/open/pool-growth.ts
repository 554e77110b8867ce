// The growth of a store's pool: its keeper, the effect of the keeper on the reserve, and the space of the metadata file. If
// that file were sparse and its file system full, the kernel's writes of metadata would fail, and so would the pool.
import { DmThinError, ERRNO } from '../../base/errors.js'
import type { DeviceSource } from '../../pool/lifecycle/pool-options.js'
import { nativePort } from '../../kernel/native-port.js'
import { ruleOf, type Growth, type KeepOptions, type PoolRole } from '../../pool/keeper/keep-options.js'
import type { WorkingPoolStatus } from '../../pool/state/status.js'
import type { ThinPool } from '../../pool/thin-pool.js'
import type { PoolPlace } from '../common/store-options.js'
import type { ReserveLimits } from '../engine/space-reserve.js'

/**
 * Allocates the blocks of a metadata file up to its size. Does nothing for a device, or if the file system cannot allocate
 * blocks ahead. Rejects with `DM_POOL_FULL` if the file system is full.
 */
export async function allocateMetadata({ file }: DeviceSource): Promise<void> {
  if (file === undefined) return
  try {
    await nativePort().allocateFile(file)
  } catch (fault) {
    if (!(fault instanceof DmThinError)) throw fault
    if (fault.errno === ERRNO.EOPNOTSUPP) return
    if (fault.errno !== ERRNO.ENOSPC) throw fault
    throw fault.refined('DM_POOL_FULL', `the file system of ${file} has no space for the pool's metadata`)
  }
}

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
