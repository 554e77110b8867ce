// Volumes in the pool's record. A volume is recorded after the kernel has created it and before the caller receives it.
import { DmThinError, type RollbackStep } from '../../base/errors.js'
import { message } from '../../target/messages.js'
import { changePool } from '../state/commit-point.js'
import type { PoolContext } from '../state/context.js'
import type { RecordContent, VolumeRecord } from '../state/record.js'

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
  // What another process has recorded of the volume stays.
  const named = ({ volumes }: RecordContent) => [id, { ...volumes.get(id), name, sizeBytes }] as const
  await record.change(content => ({ ...content, volumes: new Map([...content.volumes, named(content)]) }))
}

/**
 * Records that volumes are about to be active for writing, if they were received: whether they are as they were received
 * cannot be read from their state after that. Costs nothing for other volumes that the record in memory has.
 */
export async function recordWritable({ record }: PoolContext, ids: readonly number[]): Promise<void> {
  const isOther = (volumes: ReadonlyMap<number, VolumeRecord>) => (id: number) => {
    const known = volumes.get(id)
    return known !== undefined && !known.received && !known.receiving
  }
  if (!record || ids.every(isOther(record.content.volumes))) return
  const marked = ({ volumes }: RecordContent) => ids.flatMap(id => writableOf(id, volumes.get(id)))
  if (marked(await record.read()).length === 0) return
  await record.change(content => ({ ...content, volumes: new Map([...content.volumes, ...marked(content)]) }))
}

/** Returns the changed entry of a volume, or nothing if it stays as it is. */
function writableOf(id: number, known: VolumeRecord | undefined): (readonly [number, VolumeRecord])[] {
  if (known?.received && !known.received.writable) {
    return [[id, { ...known, received: { ...known.received, writable: true } }]]
  }
  if (typeof known?.receiving === 'object' && !known.receiving.writable) {
    return [[id, { ...known, receiving: { ...known.receiving, writable: true } }]]
  }
  return []
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
