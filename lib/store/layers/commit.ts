// Commits an active layer.
import { signalOption } from '../../base/options.js'
import { hasCode } from '../../base/errors.js'
import type { ThinVolume } from '../../pool/volume/thin-volume.js'
import type { StoreParts } from '../engine/parts.js'
import type { Lease } from '../engine/leases.js'
import { mountedInside, mountOf } from '../engine/temporary-mounts.js'
import { prepare, type PrepareParts } from './prepare.js'
import { makeWhole, refuseIfPoolIsFull } from './commit-check.js'
import type { Row } from '../records/row.js'
import { parentGone, refuseTaken, readyRow, stateError } from '../records/rows.js'
import { step } from '../common/step-channel.js'
import type { Labels } from '../common/types.js'
import { isTaken, withRollback } from '../engine/rollback.js'

/** Whoever unmounted it has mostly let go by then; a mount that stays is gone round. */
const PATIENCE_MS = 500

export interface CommitRequest {
  readonly name: string
  readonly labels: Labels
  readonly signal?: AbortSignal | undefined
}

export async function commit(parts: StoreParts, key: string, request: CommitRequest): Promise<Row> {
  const { records, writer, owner, leases } = parts
  await leases.living(records.byKey(key)?.thin) // those of dead owners are deleted
  step('commit.intent', key)
  const { row, isUsed } = await writer.write(() => {
    const found = readyRow(records, key)
    if (found.kind !== 'active')
      throw stateError(found, `only an active layer can be committed, and it is ${found.kind}`)
    if (request.name !== key) refuseTaken(records, request.name)
    const committing = records.update(found.id, ['ready'], { state: 'committing', owner: owner.id })!
    // From here on no lease is given: those that there are may activate the volume, and write to it, at any time.
    return { row: committing, isUsed: records.leases.of(found.thin).some(({ kind }) => kind === 'use') }
  })
  try {
    return await seal(parts, row, { ...request, isUsed })
  } catch (fault) {
    // The first fault is the one that is reported. What cannot be recorded is repaired after its owner's end.
    await writer.write(() => records.update(row.id, ['committing'], { state: 'ready', owner: null })).catch(() => {})
    throw fault
  }
}

/**
 * A committed layer made in one go, filled by `fill`: before it is whole there is nothing of it to be seen, and nothing
 * is left of it when this process dies. Resolves with a lease that keeps it.
 */
export async function addCommitted(
  parts: PrepareParts,
  parent: string,
  request: CommitRequest,
  fill: (folder: string) => Promise<unknown>,
): Promise<Lease> {
  const { signal } = request
  const options = signalOption(signal)
  const { row, path } = await prepare(parts, { kind: 'active', key: null, parent, options })
  const lease = await parts.leases.keep(row)
  try {
    await mountedInside(parts, mountOf(row, path), fill, signal)
    await seal(parts, row, request)
    return lease
  } catch (fault) {
    await lease.release()
    await parts.removals.abandon([row]).catch(() => {})
    throw fault
  }
}

/** From a row that is `making` or `committing` to a committed layer. `isUsed`: a call may write to the volume. */
async function seal(
  parts: StoreParts,
  row: Row,
  { name, labels, signal, isUsed = false }: CommitRequest & { readonly isUsed?: boolean },
): Promise<Row> {
  const { records, writer, volumes, points, removals } = parts
  const key = row.key ?? name
  const volume = await volumes.active(row, signal)
  await refuseIfPoolIsFull(parts.pool)
  step('commit.deactivate', key)
  const { mappedBytes, replaced } = isUsed ? await copied(parts, row, signal) : await closed(parts, row, volume, signal)
  try {
    step('commit.point', key)
    const transaction = await points.point()
    step('commit.record', key)
    const done = await writer.write(() => {
      if (name !== row.key) refuseTaken(records, name)
      records.noteTransaction(transaction)
      if (replaced) exchange(parts, row, replaced)
      const at = parts.clock() // a committed layer is a new one: containerd compares the two times
      const change = { key: name, kind: 'committed', state: 'ready', owner: null, labels, mappedBytes } as const
      const sealed = records.update(row.id, [row.state], { ...change, createdAt: at, updatedAt: at })
      if (!sealed) throw stateError(row, 'another process took this one for dead')
      // Nothing kept a parent from going while its child had no name.
      if (row.parentKey !== sealed.parentKey) throw parentGone(row)
      return sealed
    })
    if (replaced) removals.add(records.byId(replaced.id)!)
    return done
  } catch (fault) {
    if (replaced) await removals.abandon([replaced]).catch(() => {})
    throw fault
  }
}

interface Closed {
  readonly mappedBytes: number
  /** The row of the copy that takes the volume's place, where somebody keeps the volume itself in use. */
  readonly replaced?: Row
}

/** Nobody writes to it any more when this resolves. */
async function closed(parts: StoreParts, row: Row, volume: ThinVolume, signal?: AbortSignal): Promise<Closed> {
  const abort = signalOption(signal)
  try {
    // One that was made here has just been unmounted, and told of every error.
    if (row.key !== null) await makeWhole(parts, row, volume, signal)
    const mappedBytes = await parts.volumes.mappedBytes(volume, signal)
    await volume.deactivate({ timeoutMs: PATIENCE_MS, ...abort })
    return { mappedBytes }
  } catch (fault) {
    if (!hasCode(fault, 'DM_BUSY')) throw fault
    return copied(parts, row, signal)
  }
}

/** Mounted still, here or in another namespace: the layer is a snapshot of it, taken while it was frozen. */
async function copied(parts: StoreParts, row: Row, signal?: AbortSignal): Promise<Closed> {
  const { records, writer, volumes, owner } = parts
  for (;;) {
    const copy = await writer.write(() => {
      const { parentId: parent, sizeBytes, fileSystem, raw } = row
      const rest = { parent, sizeBytes, fileSystem, raw, at: parts.clock(), labels: {} }
      return records.insert({ key: null, kind: 'active', state: 'making', owner: owner.id, ...rest })
    })
    try {
      return await withRollback(parts, copy, async made => {
        step('commit.copy', row.key ?? '')
        const volume = await volumes.copy(row, copy, signal)
        made()
        await volume.activate(signalOption(signal))
        await makeWhole(parts, { ...copy, key: row.key }, volume, signal)
        const mappedBytes = await volumes.mappedBytes(volume, signal)
        await volume.deactivate()
        return { mappedBytes, replaced: copy }
      })
    } catch (fault) {
      if (!isTaken(fault)) throw fault
    }
  }
}

/** The layer gets the copy's volume, and what is in use is left to the removals. */
function exchange({ records, owner }: StoreParts, row: Row, copy: Row): void {
  const free = -1 - copy.id // no volume has it: two rows cannot have one volume, not even between two statements
  records.abandon(copy.id, ['making'], owner.id)
  records.update(copy.id, ['removing'], { thin: free })
  records.update(row.id, [row.state], { thin: copy.thin })
  records.update(copy.id, ['removing'], { thin: row.thin })
  records.leases.moveKept(row.thin, copy.thin)
}
