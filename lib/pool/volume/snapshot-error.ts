// Kernel errors in terms of volumes. The native snapshot call returns an errno for each id.
import { abortError, DmThinError, ERRNO } from '../../base/errors.js'
import { errorFromFailure } from '../../kernel/errors/translate.js'
import type { DeviceInfo } from '../../kernel/port/device-port.js'
import type { Outcome, SnapshotItem, SnapshotRequest } from '../../kernel/port/pool-port.js'
import { message } from '../../target/messages.js'
import { settledSnapshots } from '../state/commit-point.js'
import { explain, explained } from '../state/explain-error.js'
import { volumeUuidPrefix, type PoolContext } from '../state/context.js'
import { withSharedLock } from '../state/locks.js'

export async function sendSnapshots(
  pool: PoolContext,
  request: SnapshotRequest,
  signal?: AbortSignal,
): Promise<SnapshotItem[]> {
  const send = () => pool.port.snapshot(request, signal)
  const { items } = await explained(pool, withSharedLock(pool, signal, send))
  return settledSnapshots(pool, request.originId, items)
}

/** Creates a snapshot of one id and activates it. `activated` is undefined if the activation was not tried. */
export async function sendSnapshotActive(
  pool: PoolContext,
  request: SnapshotRequest,
  activation: Parameters<PoolContext['port']['snapshotActive']>[1],
  signal?: AbortSignal,
): Promise<{ readonly item: SnapshotItem; readonly activated: Outcome | undefined }> {
  const send = () => pool.port.snapshotActive(request, activation, signal)
  const { items, activated } = await explained(pool, withSharedLock(pool, signal, send))
  const [item] = await settledSnapshots(pool, request.originId, items)
  return { item: item!, activated }
}

export function snapshotRefused(
  pool: PoolContext,
  { id, errno, operation }: SnapshotItem,
  origin: number,
  signal?: AbortSignal,
): Promise<DmThinError> {
  const detail = message.createSnap(id, origin)
  if (errno === ERRNO.ECANCELED) return Promise.resolve(abortError(signal, { operation: detail, device: pool.name }))
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

/** Tells apart a used name and a used uuid, for both of which the kernel returns EBUSY, by querying the device. */
export async function whoHasName(pool: PoolContext, id: number, fault: DmThinError): Promise<DmThinError> {
  if (fault.code !== 'DM_NAME_TAKEN') return fault
  const other = await pool.port.deviceStatus({ uuid: volumeUuidPrefix(pool) + id }).catch(() => undefined)
  if (!other) return fault
  const text = `volume ${id} of pool ${pool.name} is active already, as ${JSON.stringify(other.name)}`
  return fault.refined('DM_ALREADY_ACTIVE', text, { detail: other.name })
}

/** Converts a rejection to a value, so that calls on one and on many volumes share code. */
export function outcomeOf(call: Promise<DeviceInfo | void>): Promise<Outcome> {
  return call.then(
    answer => answer?.device ?? 0,
    (fault: unknown) => {
      if (fault instanceof DmThinError) return fault
      throw fault
    },
  )
}
