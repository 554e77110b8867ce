// Removals in the background: what is left, and what whoever waits for them is told.
import { DmThinError } from '../../../lib/entry/index.js'
import { withMemoryStore } from '../../helpers/store/memory-store.js'

test('drain() tries a removal again if the attempt in progress began before it and found the layer busy', () =>
  withMemoryStore(async ({ store, insert }) => {
    const row = await insert({ key: 'a', state: 'removing' })
    await store.pool.createVolume({ id: row.thin, sizeBytes: row.sizeBytes })
    const destroy = store.volumes.destroy.bind(store.volumes)
    let [begun, unblock] = [() => {}, () => {}]
    const hasBegun = new Promise<void>(resolve => (begun = resolve))
    const isBusy = new Promise<void>(resolve => (unblock = resolve))
    let attempts = 0
    store.volumes.destroy = async (...words) => {
      attempts += 1
      if (attempts > 1) return destroy(...words)
      begun()
      await isBusy
      throw new DmThinError('DM_BUSY', 'mounted when it was looked at')
    }
    store.removals.add(row)
    await hasBegun
    // It ends when the call has looked at what waits.
    const takeOver = store.removals.takeOver.bind(store.removals)
    store.removals.takeOver = () => takeOver().then(() => void setImmediate(unblock))
    expect(await store.removals.drain()).toEqual([])
    expect(attempts).toBe(2)
    expect(store.records.unready()).toEqual([])
  }))

test('drain() reports a layer that is still busy after one attempt of its own', () =>
  withMemoryStore(async ({ store, insert }) => {
    const row = await insert({ key: 'a', state: 'removing' })
    await store.pool.createVolume({ id: row.thin, sizeBytes: row.sizeBytes })
    let attempts = 0
    store.volumes.destroy = () => {
      attempts += 1
      return Promise.reject(new DmThinError('DM_BUSY', 'mounted'))
    }
    expect(await store.removals.drain()).toMatchObject([{ thin: row.thin, error: { code: 'DM_BUSY' } }])
    expect(attempts).toBe(1)
    expect(await store.removals.drain()).toMatchObject([{ thin: row.thin, error: { code: 'DM_BUSY' } }])
    expect(attempts).toBe(2)
  }))
