// The usage of a layer: what the kernel is asked, without an activation, and a layer that changes during the call.
import { layerUsage } from '../../../lib/store/layers/space.js'
import type { Row } from '../../../lib/store/records/row.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { withMemoryStore, type MemoryStore } from '../../helpers/store/memory-store.js'

/** An inactive layer that maps two blocks, with a parent that had one at its commit. */
async function written({ kernel, store, insert }: MemoryStore): Promise<Row> {
  const { dataBlockBytes: mappedBytes } = store.pool
  const parent = await insert({ key: 'parent', kind: 'committed', state: 'ready', owner: null })
  await store.writer.write(() => store.records.update(parent.id, ['ready'], { mappedBytes }))
  const row = await insert({ key: 'layer', state: 'ready', owner: null, parent: parent.id })
  const volume = await (await store.pool.createVolume({ id: row.thin, sizeBytes: row.sizeBytes })).activate()
  for (const block of [0, 1]) await kernel.write(volume.path, block * mappedBytes, 1)
  await volume.deactivate()
  return row
}

/** The usage of the layer, with the calls of the kernel and the transactions of the records that it makes. */
async function asked({ process, store }: MemoryStore, key: string) {
  process.calls.length = 0
  const write = jest.spyOn(store.writer, 'write')
  const { bytes } = await layerUsage(store, key)
  return { blocks: bytes / store.pool.dataBlockBytes, calls: [...process.calls], writes: write.mock.calls.length }
}

test('the usage of an inactive layer is read in the metadata of the pool, and nothing is activated or recorded', () =>
  withMemoryStore(async memory => {
    await written(memory)
    const reads = [
      'deviceLines',
      'tableStatus',
      'blockSizeBytes',
      'readBlocks',
      'readBlocks',
      'readBlocks',
      'tableStatus',
    ]
    expect(await asked(memory, 'layer')).toEqual({ blocks: 1, calls: reads, writes: 0 })
  }))

test('the usage of an active layer is read from its device', () =>
  withMemoryStore(async memory => {
    await memory.store.volumes.active(await written(memory))
    expect(await asked(memory, 'layer')).toEqual({ blocks: 1, calls: ['deviceLines', 'tableStatus'], writes: 0 })
  }))

test('the usage of a committed layer is read from its record', () =>
  withMemoryStore(async memory => {
    await written(memory)
    expect(await asked(memory, 'parent')).toEqual({ blocks: 1, calls: [], writes: 0 })
  }))

test('the usage of a layer that is deactivated between two calls of the kernel is read in the metadata', () =>
  withMemoryStore(async memory => {
    const { process, store } = memory
    const volume = await store.volumes.active(await written(memory))
    const held = process.holdAt('tableStatus')
    const usage = layerUsage(store, 'layer')
    await held.reached
    await volume.deactivate()
    held.go()
    expect((await usage).bytes).toBe(store.pool.dataBlockBytes)
  }))

describe('the usage of a layer that another process changes during the call', () => {
  async function changed(change: (memory: MemoryStore, row: Row) => Promise<unknown>, memory: MemoryStore) {
    const row = await written(memory)
    const held = memory.process.holdAt('readBlocks')
    const usage = layerUsage(memory.store, 'layer')
    usage.catch(() => {})
    await held.reached
    await change(memory, row)
    held.go()
    return usage
  }
  const update = (row: Row, change: Parameters<MemoryStore['store']['records']['update']>[2], { store }: MemoryStore) =>
    store.writer.write(() => store.records.update(row.id, ['ready'], change))

  test('rejects with DM_LAYER_NOT_FOUND if it is removed and its volume deleted', () =>
    withMemoryStore(async memory => {
      const removed = changed(async ({ store }, row) => {
        await store.writer.write(() => store.records.abandon(row.id, ['ready'], store.owner.id))
        await store.volumes.destroy(row, 0)
      }, memory)
      await expectCode(removed, 'DM_LAYER_NOT_FOUND')
    }))

  test('rejects with DM_LAYER_STATE if it is being committed', () =>
    withMemoryStore(async memory => {
      await expectCode(
        changed((all, row) => update(row, { state: 'committing' }, all), memory),
        'DM_LAYER_STATE',
      )
    }))

  test('is that of its new volume if it gets another one', () =>
    withMemoryStore(async memory => {
      const { bytes } = await changed(async (all, row) => {
        const { thin } = await all.committed('other')
        await all.store.writer.write(() =>
          all.store.records.update(all.store.records.byKey('other')!.id, ['ready'], { thin: 99 }),
        )
        await update(row, { thin }, all)
      }, memory)
      expect(bytes).toBe(0) // the new volume maps nothing
    }))
})

test('the usage of a layer whose volume is lost rejects with DM_VOLUME_NOT_FOUND', () =>
  withMemoryStore(async memory => {
    const { store } = memory
    await store.volumes.destroy(await written(memory), 0)
    await expectCode(layerUsage(store, 'layer'), 'DM_VOLUME_NOT_FOUND')
  }))
