// Volumes in the pool's record. A volume is recorded after the kernel has created it and before the caller receives it.
import { DmThinError, type RollbackStep } from '../../base/errors.js'
import { message } from '../../target/messages.js'
import { changePool } from '../state/commit-point.js'
import type { PoolContext } from '../state/context.js'
import type { VolumeRecord } from '../state/record.js'

/** Records new volumes. If that fails, deletes them from the pool. */
export async function recordNew(
  context: PoolContext,
  volumes: readonly (readonly [id: number, volume: VolumeRecord])[],
): Promise<void> {
  if (!context.record || volumes.length === 0) return
  try {
    await context.record.put(volumes)
  } catch (fault) {
    if (!(fault instanceof DmThinError)) throw fault
    const rollback: RollbackStep[] = []
    for (const [id] of volumes) rollback.push(await deleteAgain(context, id))
    throw fault.refined(fault.code, fault.message, { rollback })
  }
}

/** Deletes a volume that a failed call created. */
export async function deleteAgain(context: PoolContext, id: number): Promise<RollbackStep> {
  const operation = message.delete(id)
  const errno = await changePool(context, operation).then(
    () => 0,
    (second: DmThinError) => second.errno ?? -1,
  )
  if (errno === 0) context.ids.free(id)
  return { operation, device: context.name, errno }
}

/** Records the name and size with which a volume was activated, if they changed. */
export async function recordActive(context: PoolContext, id: number, name: string, sizeBytes: number): Promise<void> {
  const { record } = context
  const known = record?.content.volumes.get(id)
  if (!record || (known?.name === name && known.sizeBytes === sizeBytes)) return
  await record.put([[id, { ...known, name, sizeBytes }]])
}

export async function recordDeleted(context: PoolContext, ids: readonly number[]): Promise<void> {
  const { record } = context
  const known = ids.filter(id => record?.content.volumes.has(id))
  if (known.length > 0) await record?.drop(known)
}

/** Returns the record's entry for a volume. Reads the record again if the entry is not in memory. */
export async function recordOf(context: PoolContext, id: number): Promise<VolumeRecord | undefined> {
  const { record } = context
  return record && (record.content.volumes.get(id) ?? (await record.read()).volumes.get(id))
}
