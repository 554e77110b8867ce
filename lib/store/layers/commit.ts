// The commit of an active layer, and the creation of a committed layer in one call.
import { signalOption } from '../../base/options.js'
import { hasCode } from '../../base/errors.js'
import type { ThinVolume } from '../../pool/volume/thin-volume.js'
import type { StoreParts } from '../engine/parts.js'
import type { Lease } from '../engine/leases.js'
import { withPrivateMount, mountOf } from '../engine/temporary-mounts.js'
import { prepare, type PrepareParts } from './prepare.js'
import { makeWhole, refuseIfPoolIsFull } from './commit-check.js'
import { copyLayer } from './copy.js'
import type { Row } from '../records/row.js'
import { parentGone, refuseTaken, readyRow, stateError } from '../records/layer-lookup.js'
import { step } from '../common/step-channel.js'
import type { Labels } from '../common/layer-types.js'

/** The wait for a device that was just unmounted. If it is still busy, the layer is copied instead. */
const DEACTIVATE_TIMEOUT_MS = 500

export interface CommitRequest {
  readonly name: string
  readonly labels: Labels
  readonly signal?: AbortSignal | undefined
}

/** Commits an active layer. If it fails, the layer is active again. */
export async function commit(parts: StoreParts, key: string, request: CommitRequest): Promise<Row> {
  const { records, writer, owner, leases } = parts
  await leases.living(records.byKey(key)?.thin) // deletes the leases of dead owners
  step('commit.intent', key)
  const begin = () => {
    const found = readyRow(records, key)
    if (found.kind !== 'active')
      throw stateError(found, `only an active layer can be committed, and it is ${found.kind}`)
    if (request.name !== key) refuseTaken(records, request.name)
    const committing = records.update(found.id, ['ready'], { state: 'committing', owner: owner.id })!
    // From here on no lease is granted. Calls with an existing lease may activate the volume and write to it at any time.
    return { row: committing, isUsed: records.leases.of(found.thin).some(({ kind }) => kind === 'use') }
  }
  // If the power fails and the intent is lost, the layer is active, as after a commit that was reverted.
  const { row, isUsed } = await writer.write(begin, { durable: false })
  try {
    return await seal(parts, row, { ...request, isUsed })
  } catch (fault) {
    // The first error is the one that is reported. If this write fails, recovery reverts the commit after the owner's end.
    await writer.write(() => records.update(row.id, ['committing'], { state: 'ready', owner: null })).catch(() => {})
    throw fault
  }
}

/**
 * Creates a committed layer and fills it with `fill`. The layer is not visible before it is complete, and nothing is left
 * if this process dies. Returns a lease that prevents the removal of the layer.
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
    await withPrivateMount(parts, mountOf(row, path), fill, signal)
    await seal(parts, row, request)
    return lease
  } catch (fault) {
    await lease.release()
    await parts.removals.abandon([row]).catch(() => {})
    throw fault
  }
}

/** Makes a committed layer of a row that is `making` or `committing`. `isUsed`: a call may write to the volume. */
export async function seal(
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
      const at = parts.clock() // both times are new, as in containerd: clients compare them
      const change = { key: name, kind: 'committed', state: 'ready', owner: null, labels, mappedBytes } as const
      const sealed = records.update(row.id, [row.state], { ...change, createdAt: at, updatedAt: at })
      if (!sealed) throw stateError(row, 'this process was considered dead, and the layer was taken over')
      // While the layer had no key, its parent could be removed.
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
  /** The row of the copy that replaces the volume, if the volume is in use. */
  readonly replaced?: Row
}

/** Deactivates the volume, so that it is not written any more. Copies the volume if it is busy. */
async function closed(parts: StoreParts, row: Row, volume: ThinVolume, signal?: AbortSignal): Promise<Closed> {
  const abort = signalOption(signal)
  try {
    // A layer without a key was filled and unmounted by this call, which has reported all errors.
    if (row.key !== null) await makeWhole(parts, row, volume, signal)
    const mappedBytes = await parts.volumes.mappedBytes(volume, signal)
    await volume.deactivate({ timeoutMs: DEACTIVATE_TIMEOUT_MS, ...abort })
    return { mappedBytes }
  } catch (fault) {
    if (!hasCode(fault, 'DM_BUSY')) throw fault
    return copied(parts, row, signal)
  }
}

/** Copies a volume that is still mounted, in any namespace. */
async function copied(parts: StoreParts, row: Row, signal?: AbortSignal): Promise<Closed> {
  const { row: replaced, mappedBytes } = await copyLayer(parts, row, 'commit.copy', signal)
  return { mappedBytes, replaced }
}

/** Exchanges the volumes of the layer and of the copy. The volume that is in use is removed in the background. */
function exchange({ records, owner }: StoreParts, row: Row, copy: Row): void {
  const free = -1 - copy.id // no volume has this id; two rows must never have the same thin id, even between statements
  records.abandon(copy.id, ['making'], owner.id)
  records.update(copy.id, ['removing'], { thin: free })
  records.update(row.id, [row.state], { thin: copy.thin })
  records.update(copy.id, ['removing'], { thin: row.thin })
  records.leases.moveKept(row.thin, copy.thin)
}
