// The reset of an active layer: its device gets the content of a committed layer, and stays open. The volume of the layer has
// its thin id in the uuid of the device, so that the device moves to a copy, and from there back to the thin id of the layer.
import { DmThinError, undefinedIf } from '../../base/errors.js'
import { invalid, signalOption } from '../../base/options.js'
import { BlockDevice } from '../../block/block-device.js'
import { moveToSnapshot, renumber } from '../../pool/volume/move-volume.js'
import { step } from '../common/step-channel.js'
import type { StoreParts } from '../engine/parts.js'
import { complete, endReset, moveBack, type ResetRows } from '../engine/reset-end.js'
import { isTaken } from '../engine/rollback.js'
import { endUnfinished } from '../engine/unfinished.js'
import type { Records } from '../records/records.js'
import type { Row } from '../records/row.js'
import { committedRow, readyRow, stateError } from '../records/layer-lookup.js'

/** The snapshots of a reset: the copy, the former content, and the layer. */
const SNAPSHOTS = 3

interface ResetRequest {
  /** The name of the committed layer whose content the layer gets. Default: its parent. */
  readonly to: string | undefined
  readonly signal: AbortSignal | undefined
}

interface Begun extends ResetRows {
  readonly source: Row
  /** The row that gets the former content, which is deleted in the background. */
  readonly former: Row
}

/**
 * Resets an active layer. If it rejects, the layer has its former content. If neither the reset nor its rollback could be
 * finished, the layer rejects other calls until this call is repeated, or a store is opened after the end of this owner.
 */
export async function reset(parts: StoreParts, key: string, request: ResetRequest): Promise<void> {
  const { records, writer, leases } = parts
  for (;;) {
    await endOwn(parts, key)
    await leases.living(records.byKey(key)?.thin) // deletes the leases of dead owners
    step('reset.intent', key)
    const call = new Reset(parts, await writer.write(() => begin(parts, key, request)))
    try {
      return await call.run(request.signal)
    } catch (fault) {
      const isCompleted = await call.end(isTaken(fault)).catch(() => false) // the first error is the one that is reported
      if (isCompleted) return
      if (!isTaken(fault)) throw fault // otherwise, tries other thin ids
    }
  }
}

/** Ends a reset of this object that could be neither completed nor undone when its call rejected. */
async function endOwn(parts: StoreParts, key: string): Promise<void> {
  const row = parts.records.byKey(key)
  const copy = row && parts.records.resetOf(row.id)
  if (copy?.owner === parts.owner.id) await endReset(parts, { row: row!, copy })
}

/** Records the intent, inside a transaction. From here on no lease on the layer is granted. */
function begin({ records, owner, clock }: StoreParts, key: string, { to }: ResetRequest): Begun {
  const found = readyRow(records, key)
  if (found.kind !== 'active') throw stateError(found, `only an active layer can be reset, and it is ${found.kind}`)
  if (records.leases.of(found.thin).length > 0) {
    throw new DmThinError('DM_BUSY', `layer ${JSON.stringify(key)} is in use by another call of a store`, {
      device: key,
    })
  }
  const source = to === undefined ? parentOf(records, found) : committedRow(records, to)
  checkSource(found, source)
  const { sizeBytes, fileSystem, raw } = found
  const rest = { sizeBytes, fileSystem, raw, owner: owner.id, labels: {}, at: clock() }
  const made = { key: null, kind: 'active', state: 'making', ...rest } as const
  const copy = records.insert({ ...made, parent: source.id, resets: found.id })
  const former = records.insert({ ...made, parent: found.parentId })
  return { row: records.update(found, ['ready'], { state: 'committing', owner: owner.id })!, copy, former, source }
}

function parentOf(records: Records, row: Row): Row {
  const parent = row.parentId === null ? undefined : records.byId(row.parentId)
  if (parent?.state === 'ready') return parent
  throw stateError(row, 'it has no parent to which it could be reset')
}

function checkSource(row: Row, source: Row): void {
  const to = `layer ${JSON.stringify(source.key ?? '')}`
  if (source.sizeBytes > row.sizeBytes)
    throw invalid(`${to} has ${source.sizeBytes} bytes, which is more than the ${row.sizeBytes} of the layer to reset`)
  if (row.raw) return
  if (source.raw) throw invalid(`${to} is raw, and the layer to reset is not`)
  if (source.fileSystem !== row.fileSystem)
    throw invalid(`the file system of ${to} is ${source.fileSystem}, and that of the layer to reset ${row.fileSystem}`)
}

/** The steps of one reset after its intent was recorded. */
class Reset {
  readonly #parts: StoreParts
  readonly #begun: Begun
  #isMoved = false

  constructor(parts: StoreParts, begun: Begun) {
    this.#parts = parts
    this.#begun = begun
  }

  async run(signal: AbortSignal | undefined): Promise<void> {
    const { row, copy, former, source } = this.#begun
    const key = row.key!
    const volume = await this.#parts.volumes.active(row, signal)
    await volume.state.flagsOfRunning(signal) // I/O of a suspended device would wait
    // Rejects if the device is mounted, and keeps others from mounting it.
    const device = await BlockDevice.open(volume.path, { readOnly: true, exclusive: true, ...signalOption(signal) })
    try {
      step('reset.flush', key)
      await dropCache(device, signal)
      step('reset.move', key)
      await moveToSnapshot(volume.state, { originId: source.thin, id: copy.thin, snapshots: SNAPSHOTS, signal })
      this.#isMoved = true
      await dropCache(device)
      step('reset.renumber', key)
      await renumber(this.#parts.pool.context, row.thin, former.thin)
      step('reset.return', key)
      await moveBack(volume, this.#begun)
    } finally {
      await device.close()
    }
    await complete(this.#parts, this.#begun, former)
  }

  /** Ends the reset after an error. Returns true if it was completed. `isTaken`: another program has one of the thin ids. */
  async end(isTaken: boolean): Promise<boolean> {
    const { records, writer, volumes } = this.#parts
    const { row, copy, former } = this.#begun
    // A volume of another program is not deleted, and its id is never chosen again.
    const retired = { state: 'retired', owner: null } as const
    if (isTaken && !this.#isMoved) {
      await writer.write(() => {
        records.update(copy, ['making'], retired)
        records.delete(former)
        records.update(row, ['committing'], { state: 'ready', owner: null })
      })
      return false
    }
    const end = await endReset(this.#parts, this.#begun)
    if (isTaken) await writer.write(() => records.update(former, ['making'], retired))
    else await endUnfinished(this.#parts, former, await volumes.ids())
    return end === 'completed'
  }
}

/**
 * Writes and drops what the kernel has cached of the device. Before the move, later writes of the former content would reach
 * the new one; after it, reads would return the former content.
 */
async function dropCache(device: BlockDevice, signal?: AbortSignal): Promise<void> {
  // A write that fails is one of the former content, or is reported to the program that made it.
  await device.flush({ dropCache: true, ...signalOption(signal) }).catch(undefinedIf('DM_KERNEL', 'DM_POOL_FULL'))
}
