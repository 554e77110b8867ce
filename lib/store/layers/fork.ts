// The fork of an active layer: a checkpoint, and active layers that have it as parent. All of them or none.
import { throwIfAborted } from '../../base/errors.js'
import type { Progress } from '../../pool/volume/batch.js'
import type { StoreParts } from '../engine/parts.js'
import { isTaken } from '../engine/rollback.js'
import { step } from '../common/step-channel.js'
import type { Labels } from '../common/layer-types.js'
import type { Row } from '../records/row.js'
import { refuseTaken, stateError } from '../records/layer-lookup.js'
import { sealCopy, usingActive } from './checkpoint.js'
import { copyLayer, type Copy } from './copy.js'

/** Layers that are made at the same time. One native call makes the snapshots of several, and one activates several. */
const TOGETHER = 100

interface ForkRequest {
  readonly onProgress: ((progress: Progress) => void) | undefined
  readonly signal: AbortSignal | undefined
  /** The name of the checkpoint. */
  readonly name: string
  readonly keys: readonly string[]
  readonly labels: Labels
}

interface Forked {
  readonly row: Row
  /** The path of its device. */
  readonly path: string
}

/** Forks an active layer. The layer is suspended once, whatever the number of forks. */
export async function fork(parts: StoreParts, key: string, request: ForkRequest): Promise<Forked[]> {
  return usingActive(parts, key, [request.name, ...request.keys], async row => {
    for (;;) {
      const copy = await copyLayer(parts, row, 'fork.copy', request.signal)
      try {
        return await new Children(parts, row, copy, request).make()
      } catch (fault) {
        await parts.removals.abandon([copy.row]).catch(() => {})
        if (!isTaken(fault)) throw fault // otherwise, tries other thin ids
      }
    }
  })
}

/** The children of a checkpoint that does not exist yet: one transaction makes the checkpoint and all of them ready. */
class Children {
  readonly #parts: StoreParts
  readonly #row: Row
  readonly #copy: Copy
  readonly #request: ForkRequest
  readonly #rows: Row[] = []
  readonly #made = new Set<Row>()
  readonly #taken = new Set<Row>()
  #done = 0

  constructor(parts: StoreParts, row: Row, copy: Copy, request: ForkRequest) {
    this.#parts = parts
    this.#row = row
    this.#copy = copy
    this.#request = request
  }

  async make(): Promise<Forked[]> {
    const { keys, signal, name } = this.#request
    const { points, writer } = this.#parts
    try {
      const forked: Forked[] = []
      for (let at = 0; at < keys.length; at += TOGETHER) {
        throwIfAborted(signal)
        forked.push(...(await this.#some(keys.slice(at, at + TOGETHER))))
      }
      throwIfAborted(signal)
      step('fork.point', name)
      const transaction = await points.point()
      step('fork.record', name)
      const ready = await writer.write(() => this.#record(transaction))
      return forked.map(({ path }, at) => ({ row: ready[at]!, path }))
    } catch (fault) {
      // The first error is the one that is reported. If the rollback cannot be recorded, an `open` after the owner's end
      // removes the layers.
      await this.#rollBack().catch(() => {})
      throw fault
    }
  }

  async #some(keys: readonly string[]): Promise<Forked[]> {
    const { writer } = this.#parts
    step('fork.intent', this.#request.name)
    const rows = await writer.write(() => keys.map(key => this.#begin(key)))
    this.#rows.push(...rows)
    step('fork.snapshots', this.#request.name)
    // All have ended when one fails, so that the rollback has no concurrent call.
    const outcomes = await Promise.allSettled(rows.map(row => this.#one(row)))
    return outcomes.map(outcome => {
      if (outcome.status === 'rejected') throw outcome.reason
      return outcome.value
    })
  }

  #begin(key: string): Row {
    const { records, owner, clock } = this.#parts
    const { name, labels } = this.#request
    refuseTaken(records, key)
    const { id: parent, sizeBytes, fileSystem, raw } = this.#copy.row
    const rest = { parent, sizeBytes, fileSystem, raw, labels, at: clock() }
    const checkpoint = { ...this.#copy.row, key: name, kind: 'committed' } as const
    return records.insert({ key, kind: 'active', state: 'making', owner: owner.id, ...rest }, checkpoint)
  }

  async #one(row: Row): Promise<Forked> {
    const { volumes } = this.#parts
    const { keys, onProgress } = this.#request
    const volume = await volumes.snapshot(this.#copy.row, row).catch((fault: unknown) => {
      if (isTaken(fault)) this.#taken.add(row)
      throw fault
    })
    this.#made.add(row)
    const { path } = await volumes.activate(row, volume)
    this.#done += 1
    onProgress?.({ done: this.#done, total: keys.length })
    return { row, path }
  }

  #record(transaction: bigint): Row[] {
    const { records } = this.#parts
    sealCopy(this.#parts, this.#row, this.#copy, { name: this.#request.name, labels: {} }, transaction)
    return this.#rows.map(row => {
      const ready = records.update(row, ['making'], { state: 'ready', owner: null })
      if (!ready) throw stateError(row, 'this process was considered dead, and the layer was taken over')
      return ready
    })
  }

  async #rollBack(): Promise<void> {
    const { records, writer, removals, owner } = this.#parts
    // A volume that belongs to another program is not deleted, and its id is never chosen again.
    const retired = { state: 'retired', key: null, owner: null } as const
    const left = await writer.write(() =>
      this.#rows.map(row => {
        if (this.#made.has(row)) return records.abandon(row.id, ['making'], owner.id)
        if (this.#taken.has(row)) records.update(row, ['making'], retired)
        else records.delete(row)
        return undefined
      }),
    )
    // Nothing has written to them: their blocks are those of the checkpoint, so that there is nothing to discard.
    await Promise.all(left.flatMap(row => (row ? [removals.now(row, false)] : [])))
  }
}
