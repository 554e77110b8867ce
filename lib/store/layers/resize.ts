// The growth of an active layer that stays in use. Each step can be repeated: a call with the same size continues where an
// interrupted one ended.
import { invalid, signalOption } from '../../base/options.js'
import { nativePort } from '../../kernel/native-port.js'
import type { StoreParts } from '../engine/parts.js'
import { mountOf, withPrivateMount } from '../engine/temporary-mounts.js'
import { step } from '../common/step-channel.js'
import type { Row } from '../records/row.js'
import { stateError } from '../records/layer-lookup.js'

export async function resize(parts: StoreParts, key: string, sizeBytes: number, signal?: AbortSignal): Promise<void> {
  const { leases, pool, records, writer, volumes, clock } = parts
  const check = (row: Row) => {
    if (row.kind !== 'active') throw stateError(row, `only an active layer can be resized, and it is ${row.kind}`)
    if (sizeBytes < row.sizeBytes)
      throw invalid(`sizeBytes must be at least the layer's, ${row.sizeBytes}, but is ${sizeBytes}`)
  }
  const body = async (row: Row) => {
    const volume = await volumes.active(row, signal)
    // First the record: a device that is made again must not be smaller than its file system.
    step('resize.record', key)
    if (sizeBytes > row.sizeBytes) {
      const grown = await writer.write(() => records.update(row, ['ready'], { sizeBytes, updatedAt: clock() }))
      if (!grown) throw stateError(row, 'it was removed or committed meanwhile')
    }
    step('resize.device', key)
    await volume.grow({ sizeBytes, ...signalOption(signal) })
    if (row.raw) return
    step('resize.file-system', key)
    // The file system is grown through a mount of its own. The kernel has one file system for all mounts of a device.
    // No call may freeze it at the same time, for a snapshot of the layer: ext4 ends its protection against that too early.
    const grow = (folder: string) => nativePort().growVolumeFileSystem(folder, pool.name, row.thin, signal)
    await withPrivateMount(parts, mountOf(row, volume.path), grow, signal)
  }
  await leases.using(key, body, check)
}
