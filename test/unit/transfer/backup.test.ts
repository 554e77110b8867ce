// Backups in a chunk store: each is restored as it was, chunks are shared, and damage is found.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ChunkDirectory, collectGarbage, readBackup, saveBackup, type ChunkStore } from '../../../lib/entry/transfer.js'
import { readableOf } from '../../../lib/transfer/write-stream.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { collect } from '../../helpers/metadata/collect.js'
import { seeded } from '../../helpers/random/random.js'
import { MemoryChunks } from '../../helpers/transfer/memory-chunks.js'
import {
  BLOCK_BYTES,
  forgedStream,
  memoryVolume,
  streamTo,
  volumeOf,
  type MemoryVolume,
} from '../../helpers/transfer/synthetic.js'

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'dm-thin-backup-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const STORES: [string, () => Promise<ChunkStore>][] = [
  ['in memory', () => Promise.resolve(new MemoryChunks())],
  ['in a directory', () => ChunkDirectory.open(path.join(folder, 'chunks'))],
]

const contentOf = async (store: ChunkStore, name: string) => volumeOf(await readBackup(store, name))
const refused = async (call: Promise<unknown>, detail: string) =>
  expect(await expectCode(call, 'DM_TRANSFER_INVALID')).toMatchObject({ detail })
const digestsOf = (store: ChunkStore) => collect(store.digests())

describe.each(STORES)('a chunk store %s', (_, open) => {
  test('an incremental backup adds what has changed, and is restored without the other backups', async () => {
    const store = await open()
    const monday = memoryVolume([1, 2, 3, 4, undefined, 6, 7, 8], 5)
    const tuesday = memoryVolume([1, 9, 3, undefined, undefined, 6, 7, 10], 6)
    const first = await saveBackup(store, 'monday', streamTo(monday))
    expect(first).toMatchObject({ name: 'monday', sizeBytes: 8 * BLOCK_BYTES, receivedBytes: 7 * BLOCK_BYTES })
    const second = await saveBackup(store, 'tuesday', streamTo(tuesday, monday), { base: 'monday' })
    expect(second.receivedBytes).toBe(2 * BLOCK_BYTES)
    expect(second.addedBytes - 2 * BLOCK_BYTES).toBeLessThan(1000)
    expect(await contentOf(store, 'tuesday')).toEqual(tuesday.blocks)
    await store.manifests.delete('monday')
    expect(await contentOf(store, 'tuesday')).toEqual(tuesday.blocks)

    // The same content again adds nothing, under whatever name.
    expect(await saveBackup(store, 'again', streamTo(tuesday, monday), {}).catch(() => 'refused')).toBe('refused')
    const whole = await saveBackup(store, 'whole', streamTo(monday))
    expect(whole.addedBytes).toBe(0)
    expect((await collect(store.manifests.list())).sort()).toEqual(['tuesday', 'whole'])
  })

  test('a stream of this library is closed when the call that saves it resolves, and another may stay open', async () => {
    const store = await open()
    const monday = memoryVolume([1, 2], 5)
    const stays = async function* () {
      yield* streamTo(monday)
      await new Promise(() => {})
    }
    await saveBackup(store, 'monday', stays())
    let closed = false
    const own = async function* () {
      try {
        yield* streamTo(monday)
      } finally {
        await sleep(20)
        closed = true
      }
    }
    await saveBackup(store, 'copy', await readableOf(own(), undefined))
    expect(closed).toBe(true)
    expect(await contentOf(store, 'copy')).toEqual(monday.blocks)
  })

  test('garbage is what no backup names, also of a backup that was interrupted', async () => {
    const store = await open()
    const monday = memoryVolume([1, 2, 3, undefined, 5], 5)
    const tuesday = memoryVolume([1, 2, 8, 9, 5], 6)
    await saveBackup(store, 'monday', streamTo(monday))
    await saveBackup(store, 'tuesday', streamTo(tuesday, monday), { base: 'monday' })
    const before = (await digestsOf(store)).length
    const cut = async function* () {
      let pieces = 0
      for await (const piece of streamTo(memoryVolume([31, undefined, 32, undefined, 33], 7))) {
        if (pieces++ === 4) return
        yield piece
      }
    }
    await refused(saveBackup(store, 'cut', cut()), 'truncated')
    expect((await digestsOf(store)).length).toBeGreaterThan(before)
    expect(await collectGarbage(store)).toMatchObject({ kept: before })
    expect(await digestsOf(store)).toHaveLength(before)
    await store.manifests.delete('monday')
    await collectGarbage(store)
    expect(await contentOf(store, 'tuesday')).toEqual(tuesday.blocks)
    await store.manifests.delete('tuesday')
    expect(await collectGarbage(store)).toMatchObject({ kept: 0 })
    expect(await digestsOf(store)).toEqual([])
  })

  test('garbage is collected when running backups have ended, and later ones wait', async () => {
    const store = await open()
    const monday = memoryVolume([1, 2, 3], 5)
    await saveBackup(store, 'monday', streamTo(monday))
    await store.manifests.delete('monday')
    // The chunks of monday are garbage when this backup finds them, and named when it ends.
    const events: string[] = []
    let go = () => {}
    const gate = new Promise<void>(resolve => (go = resolve))
    const slow = async function* () {
      const pieces = await collect(streamTo(monday))
      yield* pieces.slice(0, -1)
      events.push('found')
      await gate
      yield pieces.at(-1)!
    }
    const saving = saveBackup(store, 'again', slow()).then(() => events.push('saved'))
    while (events.length === 0) await new Promise(resolve => setTimeout(resolve, 1))
    const collecting = collectGarbage(store).then(() => events.push('collected'))
    const later = saveBackup(store, 'later', streamTo(monday)).then(() => events.push('later'))
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(events).toEqual(['found'])
    go()
    await Promise.all([saving, collecting, later])
    expect(events).toEqual(['found', 'saved', 'collected', 'later'])
    for (const name of ['again', 'later']) expect(await contentOf(store, name)).toEqual(monday.blocks)
    const stop = new AbortController()
    const unlock = await store.lock('shared')
    const call = collectGarbage(store, { signal: stop.signal })
    stop.abort()
    await expectCode(call, 'ABORT_ERR')
    await unlock()
  })

  test('a base that is missing, of another state, or not needed is refused, and so is a name that is taken', async () => {
    const store = await open()
    const [monday, tuesday] = [memoryVolume([1, 2], 5), memoryVolume([1, 3], 6)]
    await saveBackup(store, 'monday', streamTo(monday))
    await saveBackup(store, 'other', streamTo(memoryVolume([1, 2], 9)))
    const incremental = () => streamTo(tuesday, monday)
    await refused(saveBackup(store, 'tuesday', incremental()), 'base')
    await refused(saveBackup(store, 'tuesday', incremental(), { base: 'other' }), 'base')
    await refused(saveBackup(store, 'tuesday', incremental(), { base: 'none' }), 'backup')
    await refused(saveBackup(store, 'tuesday', streamTo(tuesday), { base: 'monday' }), 'base')
    await refused(saveBackup(store, 'monday', incremental(), { base: 'monday' }), 'backup-exists')
    await refused(readBackup(store, 'tuesday'), 'backup')
    await expectCode(saveBackup(store, 'a/b', streamTo(monday)), 'DM_INVALID_ARGUMENT')
    const resumed = { pool: 'p', sizeBytes: 512, dataBlockBytes: BLOCK_BYTES, target: monday.state }
    await refused(saveBackup(store, 'part', forgedStream({ ...resumed, resume: { offset: 0, volume: 1 } })), 'resume')
    expect(await contentOf(store, 'monday')).toEqual(monday.blocks)
  })

  test('two calls of one name save one backup', async () => {
    const store = await open()
    const volumes = [memoryVolume([1, 2], 5), memoryVolume([3, 4], 6)]
    const calls = await Promise.allSettled(volumes.map(each => saveBackup(store, 'same', streamTo(each))))
    const saved = calls.findIndex(({ status }) => status === 'fulfilled')
    const reason = calls[1 - saved] as PromiseRejectedResult
    expect(reason.reason).toMatchObject({ code: 'DM_TRANSFER_INVALID', detail: 'backup-exists' })
    expect(await contentOf(store, 'same')).toEqual(volumes[saved]!.blocks)
  })
})

test.each([1, 2, 3, 4, 5, 6])('each backup of a random history is restored as it was: seed %i', async seed => {
  const random = seeded(seed)
  const store = new MemoryChunks()
  const count = random.pick([10, 200, 9000]) // the last one has several pages
  const states: { name: string; volume: MemoryVolume }[] = []
  const seeds: (number | undefined)[] = Array.from({ length: count }, () => undefined)
  for (let step = 0; step < 8; step++) {
    for (let changes = random.integer(1, 12); changes > 0; changes--) {
      const begin = random.below(count)
      const seed = random.chance(35) ? undefined : random.integer(0, 255)
      const length = seed === undefined && random.chance(20) ? count : random.integer(1, 20)
      seeds.fill(seed, begin, Math.min(count, begin + length))
    }
    const volume = memoryVolume(seeds, step + 1)
    const base = states.length > 0 && random.chance(80) ? random.pick(states) : undefined
    const name = `step-${step}`
    await saveBackup(store, name, streamTo(volume, base?.volume), base ? { base: base.name } : {})
    states.push({ name, volume })
    if (random.chance(30)) {
      const [gone] = states.splice(random.below(states.length), 1)
      await store.manifests.delete(gone!.name)
      await collectGarbage(store)
    }
  }
  for (const { name, volume } of states) {
    const restored = await contentOf(store, name)
    expect(restored.length).toBe(count)
    expect(restored.findIndex((block, at) => !same(block, volume.blocks[at]))).toBe(-1)
  }
})

const same = (a: Buffer | undefined, b: Buffer | undefined) => (a && b ? a.equals(b) : a === b)

test('a missing, damaged or forged part of a backup is found when it is restored, and garbage is not collected then', async () => {
  const volume = memoryVolume([1, 2, 3, undefined, 5], 5)
  const original = new MemoryChunks()
  await saveBackup(original, 'monday', streamTo(volume))
  const copy = () => {
    const store = new MemoryChunks()
    for (const [digest, content] of original.chunks) store.chunks.set(digest, Buffer.from(content))
    for (const [name, content] of original.named) store.named.set(name, Buffer.from(content))
    return store
  }
  for (const digest of original.chunks.keys()) {
    const missing = copy()
    missing.chunks.delete(digest)
    await refused(contentOf(missing, 'monday'), 'chunk-missing')
    const damaged = copy()
    damaged.chunks.get(digest)![0]! ^= 1
    await refused(contentOf(damaged, 'monday'), 'damaged')
  }
  const manifest = original.named.get('monday')!
  for (let at = 0; at < manifest.length; at++) {
    const damaged = copy()
    damaged.named.get('monday')![at]! ^= 1
    await refused(contentOf(damaged, 'monday'), 'damaged')
    const cut = copy()
    cut.named.set('monday', manifest.subarray(0, at))
    await refused(contentOf(cut, 'monday'), 'damaged')
  }
  const broken = copy()
  broken.named.set('broken', Buffer.from('{}'))
  await refused(collectGarbage(broken), 'damaged')
  expect(broken.chunks.size).toBe(original.chunks.size)
})

test('a store that fails ends a call whose source waits for data', async () => {
  const stalled = async function* () {
    let pieces = 0
    for await (const piece of streamTo(memoryVolume([1, undefined, 2, undefined, 3], 5))) {
      if (pieces++ === 5) await new Promise(() => {})
      yield piece
    }
  }
  const store = new MemoryChunks()
  store.put = () => Promise.reject(new Error('the network'))
  await expect(saveBackup(store, 'monday', stalled())).rejects.toThrow('the network')
  expect(await collectGarbage(store)).toEqual({ deleted: 0, kept: 0 }) // the lock is released
  const controller = new AbortController()
  const onProgress = () => controller.abort()
  const call = saveBackup(new MemoryChunks(), 'monday', stalled(), { signal: controller.signal, onProgress })
  await expectCode(call, 'ABORT_ERR')
})

test('a directory has no files but chunks and manifests when calls have ended, and deletes what a killed one has left', async () => {
  const place = path.join(folder, 'chunks')
  const store = await ChunkDirectory.open(place)
  await saveBackup(store, 'monday', streamTo(memoryVolume([1, 2, 3], 5)))
  expect(readdirSync(path.join(place, 'partial'))).toEqual([])
  expect(readdirSync(path.join(place, 'running'))).toEqual([])
  writeFileSync(path.join(place, 'partial', 'left'), 'x')
  const again = await ChunkDirectory.open(place)
  await collectGarbage(again)
  expect(readdirSync(path.join(place, 'partial'))).toEqual([])
  expect(await contentOf(again, 'monday')).toEqual(memoryVolume([1, 2, 3], 5).blocks)
  await expectCode(again.get('../x'.padEnd(64, '0')), 'DM_INVALID_ARGUMENT')
  await expectCode(ChunkDirectory.open(path.join(folder, 'none', 'chunks')), 'DM_FILE_MISSING')
})
