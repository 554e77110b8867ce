// The creation of a layer on a committed layer: the volume is created with a thin id that this store object has claimed, and
// is recorded when the pool has it on its disk.
import { hasCode } from '../../base/errors.js'
import { growFileSystem } from '../../filesystem/freeze-trim-grow.js'
import { invalid } from '../../base/options.js'
import type { StoreParts } from '../engine/parts.js'
import { withPrivateMount, mountOf } from '../engine/temporary-mounts.js'
import { checkFileSystem, type PrepareOptions } from '../common/store-options.js'
import type { Row, RowInsert } from '../records/row.js'
import { committedRow, parentGone, refuseTaken, stateError } from '../records/layer-lookup.js'
import { step } from '../common/step-channel.js'
import type { BaseVolumes } from './base-volumes.js'
import { isTaken, undoUnrecorded } from '../engine/rollback.js'

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

/** A layer that is to be created. */
interface Plan {
  readonly parent: Row
  readonly row: RowInsert
  /** True if the file system has to grow after the snapshot. */
  readonly grows: boolean
}

/** Creates a layer, activates its device and commits the pool. */
export async function prepare(parts: PrepareParts, request: PrepareRequest): Promise<Prepared> {
  const { records, claims } = parts
  for (;;) {
    const base = request.parent === '' ? await baseOf(parts, request) : undefined
    const plan = records.reading(() => planned(parts, request, base))
    const thin = plan && (await claims.take())
    const prepared = thin === undefined ? undefined : await make(parts, plan!, thin, request.options.signal)
    if (prepared) return prepared
  }
}

/** Returns the base volume. The space is checked before one is created. */
async function baseOf({ bases, reserve }: PrepareParts, { options }: PrepareRequest): Promise<Row> {
  const there = bases.find(options)
  if (there) return there
  await reserve.check()
  return bases.get(options)
}

/** Checks the request against the records. Returns undefined if the base volume was removed. */
function planned(parts: StoreParts, request: PrepareRequest, base: Row | undefined): Plan | undefined {
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
  const raw = options.raw ?? parent.raw
  const grows = sizeBytes > parent.sizeBytes && !raw
  const isReady = key !== null && !grows
  const row: RowInsert = {
    key,
    kind,
    state: isReady ? 'ready' : 'making',
    owner: isReady ? null : parts.owner.id,
    parent: parent.id,
    sizeBytes,
    fileSystem,
    at: parts.clock(),
    labels: options.labels ?? {},
    raw,
  }
  return { parent, row, grows }
}

/**
 * Creates the volume, and records the layer. Returns undefined if another thin id or another base volume has to be tried. If
 * it rejects, nothing is left.
 */
async function make(
  parts: StoreParts,
  plan: Plan,
  thin: number,
  signal: AbortSignal | undefined,
): Promise<Prepared | undefined> {
  const { volumes, claims } = parts
  const { parent, row } = plan
  const volume = { thin, sizeBytes: row.sizeBytes, kind: row.kind }
  let isMade = false
  let snapshotTime: number | undefined
  let recorded: Row | undefined
  try {
    step('prepare.snapshot', row.key ?? '')
    const made = (time?: number) => {
      isMade = true
      snapshotTime = time
    }
    // A temporary view needs almost no space, and allows reading layers of a full pool.
    const reserve = row.kind === 'active' || row.key !== null ? parts.reserve : undefined
    const { path } = await volumes.snapshotActive({ ...volume, origin: parent.thin, made, signal, reserve })
    recorded = await record(parts, { ...plan, row: { ...row, snapshotTime } }, thin)
    if (!recorded) {
      await undoUnrecorded(parts, volume, { isMade })
      return undefined
    }
    claims.settle(thin)
    return { row: plan.grows ? await grown(parts, recorded, path, signal) : recorded, path }
  } catch (fault) {
    await undoUnrecorded(parts, volume, { isMade, recorded, fault })
    // A layer that is not recorded does not prevent the removal of its parent.
    const isParentGone = parts.records.byThin(parent.thin)?.state !== 'ready'
    if (hasCode(fault, 'DM_VOLUME_NOT_FOUND') && isParentGone) throw parentGone({ parentKey: parent.key ?? '' })
    if (!isTaken(fault)) throw fault // otherwise, tries the next thin id
    return undefined
  }
}

/**
 * Records the layer. The records may have changed since the plan was made: rejects if the key is taken or the parent was
 * removed. Returns undefined if the base volume was removed.
 */
async function record({ records, writer }: StoreParts, { parent, row }: Plan, thin: number): Promise<Row | undefined> {
  step('prepare.record', row.key ?? '')
  return writer.write(() => {
    if (row.key !== null) refuseTaken(records, row.key)
    if (!records.isReady(parent)) {
      if (parent.kind === 'base') return undefined
      throw parentGone({ parentKey: parent.key ?? '' })
    }
    const made = records.insertWith(thin, row, parent)
    if (!made) throw stateError({ key: row.key }, 'this process was considered dead, and the layer was removed')
    return made
  })
}

/** Grows the file system of a layer that is recorded as incomplete, and completes the record. */
async function grown(parts: StoreParts, row: Row, source: string, signal?: AbortSignal): Promise<Row> {
  const { records, writer } = parts
  step('prepare.grow', row.key ?? '')
  await withPrivateMount(parts, mountOf(row, source), folder => growFileSystem(folder), signal)
  if (row.key === null) return row
  step('prepare.grown', row.key)
  const ready = await writer.write(() => records.update(row, ['making'], { state: 'ready', owner: null }))
  if (!ready) throw stateError(row, 'this process was considered dead, and the layer was taken over')
  return ready
}
