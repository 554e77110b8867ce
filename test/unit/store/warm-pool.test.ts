// Warm layers: what is taken, refused and put back while the background fills the set. The order is forced.
import { withMemoryStore, type MemoryStore } from '../../helpers/store/memory-store.js'

const snapshotsOf = ({ process }: MemoryStore) => process.calls.filter(name => name === 'snapshotActive').length

test('a rejected take returns its warm layer to the set, and no replacement is created', () =>
  withMemoryStore(async memory => {
    const { store, committed } = memory
    await committed('base')
    await committed('taken')
    await store.warm.keep('base', 1)
    expect(snapshotsOf(memory)).toBe(1)
    // Both in one turn: the set is looked at while the records are asked.
    const refused = expect(store.warm.take('taken', 'base', {})).rejects.toMatchObject({ code: 'DM_LAYER_EXISTS' })
    await Promise.all([refused, store.warm.keep('base', 1)])
    expect(snapshotsOf(memory)).toBe(1)
    expect(store.warm.sizes()).toEqual({ base: 1 })
    expect(store.records.unready()).toHaveLength(1)
    expect(store.removals.size).toBe(0)
  }))

test('a successful take creates a replacement', () =>
  withMemoryStore(async memory => {
    const { store, committed } = memory
    await committed('base')
    await store.warm.keep('base', 1)
    const [taken] = await Promise.all([store.warm.take('a', 'base', {}), store.warm.keep('base', 1)])
    expect(taken!.row.key).toBe('a')
    expect(snapshotsOf(memory)).toBe(2)
    expect(store.warm.sizes()).toEqual({ base: 1 })
  }))

test('dropping a warm set during a rejected take removes all of its layers', () =>
  withMemoryStore(async memory => {
    const { store, committed } = memory
    await committed('base')
    await committed('taken')
    await store.warm.keep('base', 1)
    const refused = expect(store.warm.take('taken', 'base', {})).rejects.toMatchObject({ code: 'DM_LAYER_EXISTS' })
    await Promise.all([refused, store.warm.keep('base', 0)])
    expect(await store.removals.drain()).toEqual([])
    expect(store.records.unready()).toEqual([])
    expect(await store.pool.volumes()).toHaveLength(2)
  }))

test('dropping a warm set while a layer is being created removes all of its layers', () =>
  withMemoryStore(async memory => {
    const { store, process, committed } = memory
    await committed('base')
    const held = process.holdAt('snapshotActive')
    const kept = store.warm.keep('base', 1)
    await held.reached
    await store.warm.keep('base', 0)
    held.go()
    await kept
    await store.warm.close()
    expect(await store.removals.drain()).toEqual([])
    expect(store.records.unready()).toEqual([])
    expect(await store.pool.volumes()).toHaveLength(1)
  }))

test('a warm layer whose parent is removed before the snapshot rejects with DM_LAYER_NOT_FOUND, and leaves nothing', () =>
  withMemoryStore(async memory => {
    const { store, process, committed } = memory
    const base = await committed('base')
    const held = process.holdAt('snapshotActive')
    const kept = store.warm.keep('base', 1)
    kept.catch(() => {})
    await held.reached
    const { records, writer, owner, removals } = store
    removals.add(await writer.write(() => records.abandon(base.id, ['ready'], owner.id)!))
    expect(await removals.drain()).toEqual([])
    held.go()
    await expect(kept).rejects.toMatchObject({ code: 'DM_LAYER_NOT_FOUND' })
    expect(store.records.unready()).toEqual([])
    expect(await store.pool.volumes()).toEqual([])
  }))
