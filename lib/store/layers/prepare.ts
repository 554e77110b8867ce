// The creation of a layer on a committed layer: the intent is recorded, the volume is created, the result is recorded.
import { hasCode } from '../../base/errors.js'
import { growFileSystem } from '../../filesystem/freeze-trim-grow.js'
import { invalid } from '../../base/options.js'
import type { StoreParts } from '../engine/parts.js'
import { withPrivateMount, mountOf } from '../engine/temporary-mounts.js'
import { checkFileSystem, type PrepareOptions } from '../common/options.js'
import type { Row } from '../records/row.js'
import { committedRow, parentGone, refuseTaken, stateError } from '../records/rows.js'
import { step } from '../common/step-channel.js'
import type { BaseVolumes } from './base-volumes.js'
import { isTaken, withRollback } from '../engine/rollback.js'

export interface Prepared {
  readonly row: Row
  /** The path of its device. */
  readonly path: string
}

export interface PrepareParts extends StoreParts {
  readonly bases: BaseVolumes
}

interface PrepareRequest {
  readonly kind: 'active' | 'view'
  /** The key; null for a temporary or warm layer, which does not become `ready` and is removed after its owner's end. */
  readonly key: string | null
  readonly parent: string
  readonly options: PrepareOptions
}

/** Creates a layer, activates its device and commits the pool. */
export async function prepare(parts: PrepareParts, request: PrepareRequest): Promise<Prepared> {
  // A temporary view needs almost no space, and allows reading layers of a full pool.
  if (request.kind === 'active' || request.key !== null) await parts.reserve.check()
  for (;;) {
    const origin = request.parent === '' ? await parts.bases.get(request.options) : undefined
    step('prepare.intent', request.key ?? '')
    const begun = await parts.writer.write(() => begin(parts, request, origin))
    if (!begun) continue
    const { row, parent } = begun
    try {
      return await withRollback(parts, row, made => make(parts, request, { row, parent, made }))
    } catch (fault) {
      // A layer without a key does not prevent the removal of its parent.
      const isParentGone = parts.records.byThin(parent.thin)?.state !== 'ready'
      if (hasCode(fault, 'DM_VOLUME_NOT_FOUND') && isParentGone) throw parentGone(row)
      if (!isTaken(fault)) throw fault // otherwise, tries the next thin id
    }
  }
}

/**
 * Records the intent, inside a transaction: a concurrent removal of the parent finds this row. Returns undefined if the base
 * volume was removed.
 */
function begin(
  parts: StoreParts,
  request: PrepareRequest,
  base: Row | undefined,
): { row: Row; parent: Row } | undefined {
  const { records } = parts
  const { options, key, kind } = request
  if (key !== null) refuseTaken(records, key)
  const parent = base ? records.byId(base.id) : committedRow(parts.records, request.parent)
  if (parent?.state !== 'ready') return undefined
  const { fileSystem } = parent
  if (options.fileSystem !== undefined && checkFileSystem(options.fileSystem) !== fileSystem) {
    throw invalid(`fileSystem is the parent's, ${fileSystem}, and cannot be ${options.fileSystem}`)
  }
  const sizeBytes = options.sizeBytes ?? parent.sizeBytes
  if (sizeBytes < parent.sizeBytes) {
    throw invalid(`sizeBytes must be at least the parent's, ${parent.sizeBytes}, but is ${sizeBytes}`)
  }
  if (sizeBytes > parent.sizeBytes && kind === 'view') throw invalid('a view has the size of its parent')
  if (parent.raw && options.raw === false) throw invalid('the parent is raw, so raw cannot be false')
  const row = records.insert(
    {
      key,
      kind,
      state: 'making',
      owner: parts.owner.id,
      parent: parent.id,
      sizeBytes,
      fileSystem,
      at: parts.clock(),
      labels: options.labels ?? {},
      raw: options.raw ?? parent.raw,
    },
    parent,
  )
  return { row, parent }
}

interface Making {
  readonly row: Row
  readonly parent: Row
  readonly made: () => void
}

async function make(
  parts: StoreParts,
  { options, key }: PrepareRequest,
  { row, parent, made }: Making,
): Promise<Prepared> {
  const { volumes, points } = parts
  const { signal } = options
  step('prepare.snapshot', key ?? '')
  const volume = await volumes.snapshot(parent, row, signal)
  made()
  step('prepare.activate', key ?? '')
  const active = volumes.activate(row, volume, signal)
  if (row.sizeBytes > parent.sizeBytes && !row.raw) {
    const { path } = await active
    await grow(parts, row, path, signal)
    return { row: await recorded(parts, row, await points.point()), path }
  }
  // The commit of the pool with the record after it, and the activation, do not wait for each other. The record states that
  // the layer exists; its device can be activated later.
  const written = points.point().then(transaction => recorded(parts, row, transaction))
  const [{ path }, ready] = await both(active, written)
  return { row: ready, path }
}

/** Records that the layer is ready, if it has a key. */
async function recorded({ records, writer }: StoreParts, row: Row, transaction: bigint): Promise<Row> {
  if (row.key === null) return row
  step('prepare.record', row.key)
  const ready = await writer.write(() => {
    records.noteTransaction(transaction)
    return records.update(row, ['making'], { state: 'ready', owner: null })
  })
  if (!ready) throw stateError(row, 'this process was considered dead, and the layer was taken over')
  return ready
}

/** Waits until both have ended, also if one rejects, so that a rollback has no concurrent call. */
async function both<A, B>(one: Promise<A>, other: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([one, other])
  return Promise.all([one, other])
}

async function grow(parts: StoreParts, row: Row, source: string, signal?: AbortSignal): Promise<void> {
  step('prepare.grow', row.key ?? '')
  await withPrivateMount(parts, mountOf(row, source), folder => growFileSystem(folder), signal)
}
