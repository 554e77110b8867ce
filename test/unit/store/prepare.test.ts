// The claims of thin ids, the layers that are made with them, and what recovery does with volumes that have no row. The order
// of concurrent calls is forced.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LAST_CHOSEN_THIN_ID } from '../../../lib/base/units.js'
import { Reserve } from '../../../lib/store/engine/space-reserve.js'
import { prepare } from '../../../lib/store/layers/prepare.js'
import { compare } from '../../../lib/store/recovery/consistency.js'
import { Owner } from '../../../lib/store/records/owner.js'
import { recover } from '../../../lib/store/recovery/recover.js'
import type { Row } from '../../../lib/store/records/row.js'
import { withMemoryStore, type MemoryStore } from '../../helpers/store/memory-store.js'

const make = ({ store }: MemoryStore, key: string | null, signal?: AbortSignal) =>
  prepare(store, { kind: 'active', key, parent: 'base', options: signal ? { signal } : {} })
const idsOf = async ({ store }: MemoryStore) => (await store.pool.volumes()).map(({ id }) => id)

/** A committed layer that has content. */
async function written({ kernel, store, committed }: MemoryStore): Promise<Row> {
  const base = store.records.byKey('base') ?? (await committed('base'))
  const volume = await store.volumes.active(base)
  await kernel.write(volume.path, 0, 1)
  await volume.deactivate()
  return base
}

/** A claim of another owner, with a volume of each of `thins`. `died`: its owner has not ended its claims. */
async function claimed(
  memory: MemoryStore,
  { owner, thins = [], died = false }: { owner: string; thins?: number[]; died?: boolean },
): Promise<number> {
  const { store } = memory
  const base = await written(memory)
  const folder = path.join(store.directory, 'owners')
  mkdirSync(folder, { recursive: true })
  if (died) writeFileSync(path.join(folder, `${owner}.dead`), '')
  const { claim } = await store.writer.write(() => store.records.claims.add(16, owner))
  for (const at of thins) await store.volumes.copy(base, { ...base, thin: claim.first + at })
  return claim.first
}

describe('claims', () => {
  test('concurrent calls get different ids of one claim', () =>
    withMemoryStore(async memory => {
      const { store, committed } = memory
      await committed('base')
      const made = await Promise.all(['a', 'b', 'c'].map(key => make(memory, key)))
      const [claim, ...others] = store.records.claims.all()
      expect(others).toEqual([])
      expect(claim).toEqual({ first: 1, last: 256, owner: store.owner.id })
      expect(made.map(({ row }) => row.thin)).toEqual([1, 2, 3])
    }))

  test('are extended before the ids are used up, and end when their volumes have rows', () =>
    withMemoryStore(async ({ store }) => {
      const held = await store.claims.take()
      for (let taken = 1; taken < 300; taken += 1) store.claims.settle(await store.claims.take())
      await store.writer.settled()
      expect(store.records.claims.all()).toHaveLength(2) // one id of the first is still in use
      store.claims.settle(held)
      for (let taken = 300; taken < 600; taken += 1) store.claims.settle(await store.claims.take())
      await store.writer.settled()
      expect(store.records.claims.all().every(({ first }) => first > 0)).toBe(true)
    }))

  test('are ended by release, and the ids that were not used are chosen next', () =>
    withMemoryStore(async memory => {
      const { store, committed, insert } = memory
      await committed('base')
      await make(memory, 'a')
      expect(await store.claims.release()).toBe(true)
      expect(store.records.claims.all()).toEqual([])
      expect((await insert({})).thin).toBe(2)
    }))

  test('stay after release while a volume may exist that has no row', () =>
    withMemoryStore(async ({ store }) => {
      await store.claims.take()
      expect(await store.claims.release()).toBe(false)
      expect(store.records.claims.all()).toHaveLength(1)
    }))

  test('skip the ids of rows and other claims after the last id', () =>
    withMemoryStore(async ({ store, insert }) => {
      await insert({}) // id 0
      await store.writer.write(() => {
        store.records.claims.add(4, 'other') // 1 to 4
        store.records.set('next', String(LAST_CHOSEN_THIN_ID - 2))
      })
      const { claim, ids } = await store.writer.write(() => store.records.claims.add(4, 'third'))
      expect({ claim, ids }).toEqual({ claim: { first: 8, last: 11, owner: 'third' }, ids: [8, 9, 10, 11] })
      expect((await insert({})).thin).toBe(12)
    }))
})

describe('prepare', () => {
  test('records a layer in one transaction, after the pool has its volume', () =>
    withMemoryStore(async memory => {
      const { store, process, committed } = memory
      await committed('base')
      const held = process.holdAt('snapshotActive')
      const made = make(memory, 'a')
      await held.reached
      expect(store.records.all().map(({ key }) => key)).toEqual(['base'])
      held.go()
      expect((await made).row).toMatchObject({ key: 'a', state: 'ready', owner: null })
    }))

  test('rejects and deletes its volume if the key was taken in between', () =>
    withMemoryStore(async memory => {
      const { process, committed, insert } = memory
      await committed('base')
      const held = process.holdAt('snapshotActive')
      const made = make(memory, 'a')
      await held.reached
      const other = await insert({ key: 'a', state: 'ready', owner: null })
      held.go()
      await expect(made).rejects.toMatchObject({ code: 'DM_LAYER_EXISTS' })
      expect(await idsOf(memory)).toEqual([0])
      expect(other.thin).toBe(257)
    }))

  test('rejects and deletes its volume if the parent was removed in between', () =>
    withMemoryStore(async memory => {
      const { store, process, committed } = memory
      const base = await committed('base')
      const first = process.holdAt('snapshotActive')
      const made = make(memory, 'a')
      await first.reached
      await store.writer.write(() => store.records.abandon(base.id, ['ready'], store.owner.id))
      first.go()
      await expect(made).rejects.toMatchObject({ code: 'DM_LAYER_NOT_FOUND' })
      expect(await idsOf(memory)).toEqual([base.thin])
    }))

  test('rejects below the reserve, and asks for the space in the call that makes the snapshot', () =>
    withMemoryStore(async memory => {
      const { store, process, committed } = memory
      await committed('base')
      const limits = { data: Infinity, metadata: Infinity }
      const reserving = (percent: number) => ({
        ...store,
        reserve: new Reserve(store.pool, percent, { device: '/dev/none' }, limits),
      })
      const request = (key: string) => ({ kind: 'active', key, parent: 'base', options: {} }) as const
      await expect(prepare(reserving(100), request('a'))).rejects.toMatchObject({ code: 'DM_POOL_FULL' })
      expect(await idsOf(memory)).toEqual([0])
      const before = process.calls.length
      await prepare(reserving(10), request('b'))
      expect(process.calls.slice(before)).toEqual(['snapshotActive'])
    }))

  test('retires the id of a volume of another program, and uses the next', () =>
    withMemoryStore(async memory => {
      const { store, committed } = memory
      await committed('base')
      await store.pool.createVolume({ id: 1, sizeBytes: 2 ** 20 })
      expect((await make(memory, 'a')).row.thin).toBe(2)
      expect(store.records.byThin(1)).toMatchObject({ state: 'retired' })
    }))

  test('rejects an aborted call of several and deletes its volume, and the others succeed', () =>
    withMemoryStore(async memory => {
      const { process, committed } = memory
      await committed('base')
      const abort = new AbortController()
      const held = process.holdAt('activateMany')
      const calls = [
        make(memory, 'a', abort.signal),
        make(memory, 'b', new AbortController().signal),
        make(memory, 'c'),
      ]
      const ended = Promise.allSettled(calls)
      await held.reached
      abort.abort()
      held.go()
      expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
      await expect(calls[0]).rejects.toMatchObject({ code: 'ABORT_ERR' })
      expect(await idsOf(memory)).toEqual([0, 2, 3])
      expect(process.calls.filter(name => name === 'activateMany')).toHaveLength(1)
    }))

  test('rejects several calls that are all aborted, and deletes their volumes', () =>
    withMemoryStore(async memory => {
      const { process, committed } = memory
      await committed('base')
      const aborts = ['a', 'b'].map(key => ({ key, controller: new AbortController() }))
      const held = process.holdAt('activateMany')
      const ended = Promise.allSettled(aborts.map(({ key, controller }) => make(memory, key, controller.signal)))
      await held.reached
      for (const { controller } of aborts) controller.abort()
      held.go()
      const aborted = { status: 'rejected', reason: { code: 'ABORT_ERR' } }
      expect(await ended).toMatchObject([aborted, aborted])
      expect(await idsOf(memory)).toEqual([0])
    }))

  test('makes no kernel call for a call that is aborted before its batch begins', () =>
    withMemoryStore(async memory => {
      const { process, committed } = memory
      await committed('base')
      await make(memory, 'a')
      const before = process.calls.length
      const controller = new AbortController()
      const made = make(memory, 'b', controller.signal)
      controller.abort()
      await expect(made).rejects.toMatchObject({ code: 'ABORT_ERR' })
      expect(process.calls.slice(before)).toEqual([])
      expect(await idsOf(memory)).toEqual([0, 1])
    }))
})

describe('compare()', () => {
  const found = (thin: number) => ({ kind: 'volume-without-layer', thin, action: 'none' })

  test('reports volumes of other programs among the ids that the store object has claimed', () =>
    withMemoryStore(async memory => {
      const { store } = memory
      await written(memory)
      await make(memory, 'a')
      for (const id of [2, 9]) await store.pool.createVolume({ id, sizeBytes: 2 ** 20 })
      expect(await compare(store, false)).toEqual([2, 9].map(found))
      await make(memory, 'b') // meets the first, and records it for all processes
      expect(await idsOf(memory)).toEqual([0, 1, 2, 3, 9])
      expect(store.records.byThin(2)).toMatchObject({ state: 'retired' })
      expect(await compare(store, false)).toEqual([found(9)])
    }))

  test('does not report the volume of a call in progress that has no row yet', () =>
    withMemoryStore(async memory => {
      const { store } = memory
      await written(memory)
      const { writer } = store
      const writes = writer.write.bind(writer)
      const seen: unknown[] = []
      // Between the snapshot and its row.
      const looking: typeof writer.write = async (change, options) => {
        if ((await idsOf(memory)).includes(1) && store.records.byThin(1) === undefined) {
          seen.push(await compare({ ...store, writer }, false))
        }
        return writes(change, options)
      }
      await prepare(
        { ...store, writer: Object.assign(Object.create(writer) as typeof writer, { write: looking }) },
        { kind: 'active', key: 'a', parent: 'base', options: {} },
      )
      expect(seen).toEqual([[]])
      expect(await compare(store, false)).toEqual([])
    }))
})

describe('recover()', () => {
  test('deletes the volumes without a row in the claim of an owner that died, and keeps those with one', () =>
    withMemoryStore(async memory => {
      const { store } = memory
      const first = await claimed(memory, { owner: 'dead', thins: [0, 1], died: true })
      const row = await store.writer.write(() => {
        const { state, sizeBytes, fileSystem, labels, raw, ...base } = store.records.byKey('base')!
        const copied = { state, sizeBytes, fileSystem, labels, raw, owner: base.owner }
        return store.records.insertWith(first, { ...copied, key: 'a', kind: 'active', parent: base.id, at: 1n })!
      })
      expect(await recover(store)).toEqual([{ kind: 'unfinished', thin: first + 1, action: 'undone' }])
      expect(await store.removals.drain()).toEqual([])
      expect(await idsOf(memory)).toEqual([0, row.thin])
      expect(store.records.claims.all()).toEqual([])
      expect(store.owner.hasDied('dead')).toBe(false)
      expect(await recover(store)).toEqual([])
    }))

  test('retires the volumes in a claim that its owner has ended since: the records are a copy', () =>
    withMemoryStore(async memory => {
      const { store } = memory
      const first = await claimed(memory, { owner: 'ended', thins: [0, 1] })
      const retired = [first, first + 1].map(thin => ({ kind: 'volume-without-layer', thin, action: 'retired' }))
      expect(await recover(store)).toEqual(retired)
      expect(store.records.claims.all()).toEqual([])
      expect(await idsOf(memory)).toEqual([0, first, first + 1])
    }))

  test('retires the volumes of a dead owner if the pool has other volumes without a row', () =>
    withMemoryStore(async memory => {
      const { store } = memory
      const first = await claimed(memory, { owner: 'dead', thins: [0], died: true })
      await store.pool.createVolume({ id: 1000, sizeBytes: 2 ** 20 })
      expect(await recover(store)).toEqual([
        { kind: 'unfinished', thin: first, action: 'retired' },
        { kind: 'volume-without-layer', thin: 1000, action: 'retired' },
      ])
      expect(await idsOf(memory)).toEqual([0, first, 1000])
    }))

  test('leaves the claims of living owners', () =>
    withMemoryStore(async memory => {
      const { store } = memory
      const other = await Owner.begin(path.join(store.directory, 'owners'))
      await claimed(memory, { owner: other.id, thins: [3] })
      expect(await recover(store)).toEqual([])
      expect(store.records.claims.all()).toHaveLength(1)
      expect(await idsOf(memory)).toHaveLength(2)
      other.end()
    }))

  test('retires the volumes of a dead owner that were written, or that are no snapshots', () =>
    withMemoryStore(async memory => {
      const { kernel, store } = memory
      const first = await claimed(memory, { owner: 'dead', thins: [0, 1], died: true })
      const volume = await (await store.pool.volume(first, { sizeBytes: 2 ** 20 })).activate()
      await kernel.write(volume.path, 0, 2)
      await volume.deactivate()
      await store.pool.createVolume({ id: first + 2, sizeBytes: 2 ** 20 })
      await store.pool.commit()
      expect(await recover(store)).toEqual([
        { kind: 'unfinished', thin: first + 1, action: 'undone' },
        { kind: 'volume-without-layer', thin: first, action: 'retired' },
        { kind: 'volume-without-layer', thin: first + 2, action: 'retired' },
      ])
      expect(await store.removals.drain()).toEqual([])
      expect(await idsOf(memory)).toEqual([0, first, first + 2])
    }))

  test('retires a volume of another program whose id was claimed by another owner when the claim has ended', () =>
    withMemoryStore(async memory => {
      const { store } = memory
      await written(memory)
      const other = await Owner.begin(path.join(store.directory, 'owners'))
      const { claim } = await store.writer.write(() => store.records.claims.add(16, other.id))
      await store.pool.createVolume({ id: claim.first, sizeBytes: 2 ** 20 })
      expect(await recover(store)).toEqual([])
      await store.writer.write(() => store.records.claims.delete(claim))
      other.end()
      expect(await recover(store)).toEqual([{ kind: 'volume-without-layer', thin: claim.first, action: 'retired' }])
    }))
})
