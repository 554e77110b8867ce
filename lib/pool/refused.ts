// The error of one create_snap among many: the kernel gives an errno per id.
import { abortError, type DmThinError } from '../errors.js'
import { errorFromFailure } from '../kernel/failure.js'
import type { SnapshotItem } from '../kernel/port.js'
import { message } from '../target/messages.js'
import { explain, type PoolContext } from './context.js'

const ECANCELED = 125

export function snapshotRefused(
  pool: PoolContext,
  { id, errno, operation }: SnapshotItem,
  origin: number,
  signal?: AbortSignal,
): Promise<DmThinError> {
  const detail = message.createSnap(id, origin)
  if (errno === ECANCELED) return Promise.resolve(abortError(signal, { operation: detail, device: pool.name }))
  const fault = errorFromFailure({
    operation,
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
