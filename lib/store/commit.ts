// An active layer becomes one that others stand on.
import { DmThinError } from '../errors.js'
import type { ThinVolume } from '../index.js'
import type { StoreContext } from './context.js'
import { mountedAt, mountOf } from './mounted.js'
import type { Row } from './records/row.js'
import { refuseTaken, settled, stateError } from './records/rows.js'
import { step } from './steps.js'
import type { Labels } from './types.js'
import { isTaken, undoing } from './undoing.js'

/** Whoever unmounted it has mostly let go by then; a mount that stays is gone round. */
const PATIENCE_MS = 500

export async function commit(
  store: StoreContext,
  name: string,
  key: string,
  labels: Labels,
  signal?: AbortSignal,
): Promise<Row> {
  const { records, writer, volumes, points } = store
  step('commit.intent', key)
  const row = await writer.write(() => {
    const found = settled(records, key)
    if (found.kind !== 'active')
      throw stateError(found, `only an active layer can be committed, and it is ${found.kind}`)
    if (name !== key) refuseTaken(records, name)
    return records.update(found.id, ['ready'], { state: 'committing', owner: store.owner.id })!
  })
  let replaced: Row | undefined
  try {
    const volume = await volumes.active(row, signal)
    step('commit.deactivate', key)
    const end = await closed(store, row, volume, signal)
    replaced = end.replaced
    step('commit.point', key)
    const transaction = await points.point()
    step('commit.record', key)
    const done = await writer.write(() => {
      if (name !== key) refuseTaken(records, name)
      records.noteTransaction(transaction)
      if (replaced) exchange(store, row, replaced)
      const change = { key: name, kind: 'committed', state: 'ready', owner: null, labels } as const
      const { mappedBytes } = end
      const at = store.clock() // a committed layer is a new one: containerd compares the two times
      return records.update(row.id, ['committing'], { ...change, mappedBytes, createdAt: at, updatedAt: at })
    })
    if (!done) throw stateError(row, 'another process took this one for dead')
    if (replaced) store.removals.add(records.byId(replaced.id)!)
    return done
  } catch (fault) {
    const left = await writer.write(() => {
      records.update(row.id, ['committing'], { state: 'ready', owner: null })
      return replaced && records.abandon(replaced.id, ['making'], store.owner.id)
    })
    if (left) store.removals.add(left)
    throw fault
  }
}

interface Closed {
  readonly mappedBytes: number
  /** The row of the copy that takes the volume's place, where somebody keeps the volume itself in use. */
  readonly replaced?: Row
}

/** Nobody writes to it any more when this resolves. */
async function closed(store: StoreContext, row: Row, volume: ThinVolume, signal?: AbortSignal): Promise<Closed> {
  const abort = signal ? { signal } : {}
  try {
    const mappedBytes = await store.volumes.mappedBytes(volume, signal)
    await volume.deactivate({ timeoutMs: PATIENCE_MS, ...abort })
    return { mappedBytes }
  } catch (fault) {
    if (!(fault instanceof DmThinError) || fault.code !== 'DM_BUSY') throw fault
    return copied(store, row, signal)
  }
}

/** Mounted still, here or in another namespace: the layer is a snapshot of it, taken while it was frozen. */
async function copied(store: StoreContext, row: Row, signal?: AbortSignal): Promise<Closed> {
  const { records, writer, volumes, owner } = store
  for (;;) {
    const copy = await writer.write(() => {
      const { parentId: parent, sizeBytes, fileSystem } = row
      const rest = { parent, sizeBytes, fileSystem, at: store.clock(), labels: {} }
      return records.insert({ key: null, kind: 'active', state: 'making', owner: owner.id, ...rest })
    })
    try {
      return await undoing(store, copy, async made => {
        step('commit.copy', row.key ?? '')
        const volume = await volumes.snapshot(row, copy, signal)
        made()
        await volume.activate(signal ? { signal } : {})
        // Frozen is not unmounted: its journal has something to do, which a read-only view could not.
        await mountedAt(store, mountOf(copy, volume.path), async () => {}, signal)
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
function exchange({ records, owner }: StoreContext, row: Row, copy: Row): void {
  const free = -1 - copy.id // no volume has it: two rows cannot have one volume, not even between two statements
  records.abandon(copy.id, ['making'], owner.id)
  records.update(copy.id, ['removing'], { thin: free })
  records.update(row.id, ['committing'], { thin: copy.thin })
  records.update(copy.id, ['removing'], { thin: row.thin })
}
