// Snapshots by one native call: the kernel gives an errno for each id.
import { abortError, ERRNO, type DmThinError } from '../errors.js'
import { errorFromFailure } from '../kernel/failure.js'
import type { SnapshotOutcome, SnapshotRequest } from '../kernel/port.js'
import { message } from '../target/messages.js'
import { explain, explained, type PoolContext } from './context.js'
import { withSharedLock } from './locks.js'

export const sendSnapshots = (
  pool: PoolContext,
  request: SnapshotRequest,
  signal?: AbortSignal,
): Promise<SnapshotOutcome> =>
  explained(
    pool,
    withSharedLock(pool, signal, () => pool.port.snapshot(request, signal)),
  )

export function snapshotRefused(
  pool: PoolContext,
  id: number,
  origin: number,
  errno: number,
  signal?: AbortSignal,
): Promise<DmThinError> {
  const detail = message.createSnap(id, origin)
  if (errno === ERRNO.ECANCELED) return Promise.resolve(abortError(signal, { operation: detail, device: pool.name }))
  const fault = errorFromFailure({
    operation: 'DM_TARGET_MSG',
    errno,
    device: pool.name,
    detail,
    kernelReason: '',
    cancelled: false,
    tries: 1,
    rollback: [],
  })
  return explain(pool, fault)
}
