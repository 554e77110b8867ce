// A new layer on top of a committed one: recorded as begun, made, recorded as there.
import { DmThinError } from '../../base/errors.js'
import { growFileSystem } from '../../filesystem/freeze-trim-grow.js'
import { invalid } from '../../base/units.js'
import type { StoreContext } from '../engine/context.js'
import { mountedInside, mountOf } from '../engine/temporary-mounts.js'
import { checkFileSystem, checkSize, type PrepareOptions } from '../common/options.js'
import type { Row } from '../records/row.js'
import { refuseTaken, stateError } from '../records/rows.js'
import { step } from '../common/step-channel.js'
import { isTaken, undoing } from '../engine/rollback.js'

export interface Prepared {
  readonly row: Row
  /** Of its device. */
  readonly path: string
}

interface Wish {
  readonly kind: 'active' | 'view'
  /** Null: for the store's own use; never made ready, and gone with its owner. */
  readonly key: string | null
  readonly parent: string
  readonly options: PrepareOptions
}

export async function prepare(store: StoreContext, wish: Wish): Promise<Prepared> {
  // A passing view takes next to nothing, and what is in a full pool can be read by it.
  if (wish.kind === 'active' || wish.key !== null) await store.reserve.check()
  for (;;) {
    const origin = wish.parent === '' ? await baseFor(store, wish.options) : undefined
    step('prepare.intent', wish.key ?? '')
    const begun = await store.writer.write(() => begin(store, wish, origin))
    if (!begun) continue
    const { row, parent } = begun
    try {
      return await undoing(store, row, made => make(store, wish, { row, parent, made }))
    } catch (fault) {
      if (!isTaken(fault)) throw fault // with another id, then
    }
  }
}

function baseFor(store: StoreContext, options: PrepareOptions): Promise<Row> {
  const fileSystem = options.fileSystem ?? store.fileSystem
  const sizeBytes = checkSize(options.sizeBytes ?? store.sizeBytes, fileSystem)
  return store.bases.get(store, fileSystem, sizeBytes)
}

/** Inside a transaction: whoever removes the parent meanwhile finds this row. Undefined: the base was removed. */
function begin(store: StoreContext, wish: Wish, base: Row | undefined): { row: Row; parent: Row } | undefined {
  const { records } = store
  const { options, key, kind } = wish
  if (key !== null) refuseTaken(records, key)
  const parent = base ? records.byId(base.id) : committed(store, wish.parent)
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
      owner: store.owner.id,
      parent: parent.id,
      sizeBytes,
      fileSystem,
      at: store.clock(),
      labels: options.labels ?? {},
      raw: options.raw ?? parent.raw,
    },
    parent,
  )
  return { row, parent }
}

function committed(store: StoreContext, key: string): Row {
  const parent = store.records.byKey(key)
  if (!parent || parent.state === 'making') {
    throw new DmThinError('DM_LAYER_NOT_FOUND', `there is no parent ${JSON.stringify(key)}`, { device: key })
  }
  if (parent.kind !== 'committed') throw invalid(`the parent ${JSON.stringify(key)} is not committed: ${parent.kind}`)
  if (parent.state !== 'ready') throw stateError(parent, `it is ${parent.state}`)
  return parent
}

interface Making {
  readonly row: Row
  readonly parent: Row
  readonly made: () => void
}

async function make(store: StoreContext, { options, key }: Wish, { row, parent, made }: Making): Promise<Prepared> {
  const { volumes, points } = store
  const { signal } = options
  step('prepare.snapshot', key ?? '')
  const volume = await volumes.snapshot(parent, row, signal)
  made()
  step('prepare.activate', key ?? '')
  const active = volumes.activate(row, volume, signal)
  if (row.sizeBytes > parent.sizeBytes && !row.raw) {
    const { path } = await active
    await grow(store, row, path, signal)
    return { row: await recorded(store, row, await points.point()), path }
  }
  // The pool's own writing, the record after it, and the device's coming up do not wait for each other. What is recorded
  // is that the layer is there, and a device comes back on demand.
  const written = points.point().then(transaction => recorded(store, row, transaction))
  const [{ path }, ready] = await both(active, written)
  return { row: ready, path }
}

/** There for callers, where it has a key. */
async function recorded({ records, writer }: StoreContext, row: Row, transaction: bigint): Promise<Row> {
  if (row.key === null) return row
  step('prepare.record', row.key)
  const ready = await writer.write(() => {
    records.noteTransaction(transaction)
    return records.update(row, ['making'], { state: 'ready', owner: null })
  })
  if (!ready) throw stateError(row, 'another process took it for one of a dead process')
  return ready
}

/** Rejects when both have ended: what is undone then has nobody at it. */
async function both<A, B>(one: Promise<A>, other: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([one, other])
  return Promise.all([one, other])
}

async function grow(store: StoreContext, row: Row, source: string, signal?: AbortSignal): Promise<void> {
  step('prepare.grow', row.key ?? '')
  await mountedInside(store, mountOf(row, source), folder => growFileSystem(folder), signal)
}
