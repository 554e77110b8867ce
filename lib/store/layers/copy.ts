// A copy of a layer that may be in use: a snapshot of its volume, taken while the volume is frozen.
import { signalOption } from '../../base/options.js'
import type { StoreParts } from '../engine/parts.js'
import { isTaken, withRollback } from '../engine/rollback.js'
import { step } from '../common/step-channel.js'
import type { Row } from '../records/row.js'
import { makeWhole } from './commit-check.js'

/** The row of a copy, which is `making` and has no key, and the size of what it maps. */
export interface Copy {
  readonly row: Row
  readonly mappedBytes: number
}

/**
 * Copies a layer. An active volume is suspended once, for as long as its file system needs to write its changes. `name` is
 * the name of the step.
 */
export async function copyLayer(parts: StoreParts, row: Row, name: string, signal?: AbortSignal): Promise<Copy> {
  const { records, writer, volumes, owner } = parts
  for (;;) {
    const copy = await writer.write(() => {
      const { parentId: parent, sizeBytes, fileSystem, raw } = row
      const rest = { parent, sizeBytes, fileSystem, raw, at: parts.clock(), labels: {} }
      return records.insert({ key: null, kind: 'active', state: 'making', owner: owner.id, ...rest })
    })
    try {
      return await withRollback(parts, copy, async made => {
        step(name, row.key ?? '')
        const volume = await volumes.copy(row, copy, signal)
        made()
        await volume.activate(signalOption(signal))
        await makeWhole(parts, { ...copy, key: row.key }, volume, signal)
        const mappedBytes = await volumes.mappedBytes(volume, signal)
        await volume.deactivate()
        return { row: copy, mappedBytes }
      })
    } catch (fault) {
      if (!isTaken(fault)) throw fault // otherwise, tries the next thin id
    }
  }
}
