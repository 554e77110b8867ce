// Empty file systems on which nothing stands any more: they go, and a layer that is being made gets another.
import { prepare } from '../../../lib/store/layers/prepare.js'
import { SIZE_BYTES, withMemoryStore, type MemoryStore } from '../../helpers/store/memory-store.js'

const OTHER_BYTES = 32 * 2 ** 20

async function base({ store, insert }: MemoryStore, sizeBytes: number) {
  const row = await insert({ kind: 'base', state: 'ready', owner: null, sizeBytes })
  await store.pool.createVolume({ id: row.thin, sizeBytes })
  return row
}

const idsOf = async ({ store }: MemoryStore) => (await store.pool.volumes()).map(({ id }) => id)

test('removeUnused() keeps base volumes of the default size and those that have layers', () =>
  withMemoryStore(async memory => {
    const { store } = memory
    const own = await base(memory, SIZE_BYTES)
    const other = await base(memory, OTHER_BYTES)
    const root = { kind: 'active', key: 'a', parent: '', options: { sizeBytes: OTHER_BYTES } } as const
    const { row } = await prepare(store, root)
    await store.bases.removeUnused()
    expect(await store.removals.drain()).toEqual([])
    expect(await idsOf(memory)).toEqual([own.thin, other.thin, row.thin])
    await store.removals.abandon([row], 'ready')
    expect(await store.removals.drain()).toEqual([])
    await store.bases.removeUnused()
    expect(await store.removals.drain()).toEqual([])
    expect(await idsOf(memory)).toEqual([own.thin])
    expect(store.records.all()).toHaveLength(1)
  }))

test('a base volume that is removed before the record of its layer is written is created again', () =>
  withMemoryStore(async memory => {
    const { store } = memory
    const other = await base(memory, OTHER_BYTES)
    // Both in one turn: the removal is recorded first, and the layer has chosen by then.
    const removing = store.bases.removeUnused()
    const root = { kind: 'active', key: 'a', parent: '', options: { sizeBytes: OTHER_BYTES } } as const
    // It comes to the formatting of another, which a memory kernel has none for.
    await expect(prepare(store, root)).rejects.toThrow('a node of the memory kernel')
    await removing
    expect(await store.removals.drain()).toEqual([])
    expect(store.records.byId(other.id)).toBeUndefined()
    expect(store.records.has('a')).toBe(false)
    expect(await idsOf(memory)).toEqual([])
  }))
