// Sending and receiving volumes between two pools on the real kernel.
import { createReadStream, createWriteStream, readFileSync, writeFileSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { MiB, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { receiveVolume, saveBackup, sendVolume } from '../../../lib/entry/transfer.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { BLOCK, writeAt, writeBlock } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { bookmark, discard, written } from '../../helpers/metadata/bookmark.js'
import { withPool } from '../../helpers/pool/pools.js'
import { run } from '../../helpers/process/spawned.js'
import { MemoryChunks } from '../../helpers/transfer/memory-chunks.js'
import { bytesOf, contentsOf, mappedBlocks, onDevice, pieces, sha256 } from '../../helpers/transfer/volumes.js'

const scratch = useScratch()
let counter = 0

interface Pools {
  readonly from: ThinPool
  readonly to: ThinPool
  readonly record: string
}

/** Two pools, of which the second has a record. */
async function withPools(body: (pools: Pools) => Promise<void>, options = {}): Promise<void> {
  const record = scratch.path(`to-${++counter}.json`)
  await withPool(options, from => withPool({ ...options, record }, to => body({ from, to, record })))
}

/** Expects that a pool has these volumes, complete, and no others. */
async function expectOnly({ to, record }: Pools, ...volumes: ThinVolume[]): Promise<void> {
  const { ids, recorded } = await contentsOf(to, record)
  expect(ids).toEqual(volumes.map(({ id }) => id).sort((a, b) => a - b))
  expect(recorded.map(({ id }) => id)).toEqual(ids)
  expect(recorded.filter(({ receiving }) => receiving)).toEqual([])
  expect((await to.volumes()).filter(({ active }) => active)).toEqual([])
}

test('a volume that was sent and received has the same content and the same mapped blocks', async () => {
  await withPools(async pools => {
    const { from, to } = pools
    const volume = await written(from, 10)
    await writeBlock(volume.path, 40, 7)
    await discard(volume, 3, 2)
    const base = await volume.snapshot()
    const progress: number[] = []
    const onProgress = ({ bytes }: { bytes: number }) => void progress.push(bytes)
    const copy = await receiveVolume(to, await sendVolume(from, base, { onProgress }), { name: scratch.name('copy') })
    expect(copy).toMatchObject({ active: false, sizeBytes: base.sizeBytes, origin: undefined })
    expect(progress.at(-1)).toBe(9 * BLOCK)
    expect(base.active).toBe(false)
    expect(await sha256(copy)).toBe(await sha256(base))
    expect(await mappedBlocks(to, copy.id)).toEqual([0, 1, 2, 5, 6, 7, 8, 9, 40])
    await expectOnly(pools, copy)
  })
})

test('a volume is inactive, and can be deleted, as soon as its stream is received or saved', async () => {
  await withPools(async ({ from, to }) => {
    const volume = await written(from, 1)
    for (const use of [receiveVolume.bind(undefined, to), saveBackup.bind(undefined, new MemoryChunks(), 'saved')]) {
      const snapshot = await volume.snapshot()
      await use(await sendVolume(from, snapshot))
      expect(run('dmsetup', ['info', '--columns', '--noheadings', '-o', 'name'])).not.toContain(snapshot.name)
      await snapshot.delete()
    }
  })
})

test('an incremental stream, from a volume or from a bookmark of a deleted one, updates a copy of its base alone', async () => {
  await withPools(async pools => {
    const { from, to } = pools
    const volume = await written(from, 20)
    const monday = await volume.snapshot()
    const first = await receiveVolume(to, await sendVolume(from, monday))
    const before = await sha256(first)
    await writeBlock(volume.path, 4, 104)
    await discard(volume, 10, 3)
    await writeBlock(volume.path, 30, 130)
    const tuesday = await volume.snapshot()
    const stream = await bytesOf(await sendVolume(from, tuesday, { from: monday }))
    expect(stream.length).toBeLessThan(2 * BLOCK + 2000)
    const second = await receiveVolume(to, pieces(stream), { base: first })
    expect(second.origin).toBe(first.id)
    expect(await sha256(second)).toBe(await sha256(tuesday))
    expect(await sha256(first)).toBe(before)
    expect(await mappedBlocks(to, second.id)).toEqual(await mappedBlocks(from, tuesday.id))

    const file = scratch.path(`${++counter}.bookmark`)
    await bookmark(from, tuesday, file)
    await monday.delete()
    await tuesday.delete()
    await writeBlock(volume.path, 4, 204)
    await discard(volume, 0)
    const wednesday = await volume.snapshot()
    const third = await receiveVolume(to, await sendVolume(from, wednesday, { from: file }), { base: second })
    expect(await sha256(third)).toBe(await sha256(wednesday))
    expect(await mappedBlocks(to, third.id)).toEqual(await mappedBlocks(from, wednesday.id))
    await expectOnly(pools, first, second, third)
  })
})

test('a stream is kept in a file, and a file system that was sent passes its check', async () => {
  await withPools(async ({ from, to }) => {
    const volume = await (await from.createVolume({ sizeBytes: 24 * MiB })).activate()
    run('mkfs.ext4', ['-q', volume.path])
    const base = await volume.snapshot()
    const file = scratch.path(`${++counter}.stream`)
    await pipeline(await sendVolume(from, base), createWriteStream(file))
    const copy = await receiveVolume(to, createReadStream(file))
    await onDevice(copy, path => run('e2fsck', ['-fn', path]))
    expect(await sha256(copy)).toBe(await sha256(base))
  })
})

test('a size that is not a whole number of blocks, and blocks that are larger than a chunk, are transferred', async () => {
  await withPools(
    async ({ from, to }) => {
      const volume = await (await from.createVolume({ sizeBytes: 9 * MiB + 4608 })).activate()
      await writeAt(volume.path, 9 * MiB, Buffer.alloc(4608, 1))
      await writeAt(volume.path, 3 * MiB, Buffer.alloc(512, 2))
      const base = await volume.snapshot()
      const copy = await receiveVolume(to, await sendVolume(from, base))
      expect(await sha256(copy)).toBe(await sha256(base))
      expect(await mappedBlocks(to, copy.id)).toEqual([0, 2])
    },
    { dataBlockBytes: 4 * MiB },
  )
})

test('a snapshot that is active as read-only is sent, and stays active', async () => {
  await withPools(async ({ from, to }) => {
    const base = await (await written(from, 3)).snapshot({ activate: true, readOnly: true })
    const copy = await receiveVolume(to, await sendVolume(from, base))
    expect(await base.refresh()).toBe(true)
    await base.deactivate()
    expect(await sha256(copy)).toBe(await sha256(base))
  })
})

test('streams of one volume share its device, and the last that ends deactivates it', async () => {
  await withPools(async ({ from, to }) => {
    const base = await (await written(from, 4)).snapshot()
    const first = await sendVolume(from, base)
    const second = await sendVolume(from, await from.volume(base.id))
    first.destroy()
    // It ends while the next one begins.
    const third = await sendVolume(from, base)
    const copies = await Promise.all([receiveVolume(to, second), receiveVolume(to, third)])
    for (const copy of copies) expect(await sha256(copy)).toBe(await sha256(base))
    await base.refresh()
    expect(base.active).toBe(false)
  })
})

test('volumes that may change, or were written, are not sent', async () => {
  await withPools(async ({ from }) => {
    const volume = await written(from, 3)
    await expectCode(sendVolume(from, volume), 'DM_VOLUME_ACTIVE')
    const base = await volume.snapshot({ activate: true })
    await expectCode(sendVolume(from, base), 'DM_VOLUME_ACTIVE')
    await writeBlock(base.path, 1, 9)
    await base.deactivate()
    const fault = await expectCode(sendVolume(from, base), 'DM_TRANSFER_INVALID')
    expect(fault).toMatchObject({ detail: 'written-since-snapshot' })
    const next = await base.snapshot()
    // The base is what was not frozen.
    expect(await expectCode(sendVolume(from, next, { from: base }), 'DM_TRANSFER_INVALID')).toMatchObject({
      detail: 'written-since-snapshot',
    })
    expect(await base.refresh()).toBe(false)
    expect(await next.refresh()).toBe(false)
  })
})

test('a stream that is destroyed or aborted leaves the volume as it was', async () => {
  await withPools(async ({ from }) => {
    const base = await (await written(from, 60)).snapshot()
    for (const reads of [0, 1, 5]) {
      const stream = await sendVolume(from, base)
      const closed = new Promise(resolve => stream.once('close', resolve))
      const iterator = stream[Symbol.asyncIterator]()
      for (let at = 0; at < reads; at++) await iterator.next()
      stream.destroy()
      await closed
      expect(await base.refresh()).toBe(false)
    }
    const controller = new AbortController()
    const stream = await sendVolume(from, base, { signal: controller.signal })
    const closed = new Promise(resolve => stream.once('close', resolve))
    const failed = new Promise(resolve => stream.once('error', resolve))
    controller.abort()
    expect(await failed).toMatchObject({ code: 'ABORT_ERR' })
    await closed
    expect(await base.refresh()).toBe(false)
  })
})

test('a base is refused if it is another volume, or was written, and is not modified', async () => {
  await withPools(async pools => {
    const { from, to } = pools
    const volume = await written(from, 6)
    const [monday, other] = [await volume.snapshot(), await volume.snapshot()]
    await writeBlock(volume.path, 1, 101)
    const tuesday = await volume.snapshot()
    const first = await receiveVolume(to, await sendVolume(from, monday))
    const second = await receiveVolume(to, await sendVolume(from, other))
    const stream = await bytesOf(await sendVolume(from, tuesday, { from: monday }))
    const refused = async (detail: string, base?: ThinVolume) => {
      const fault = await expectCode(receiveVolume(to, pieces(stream), base ? { base } : {}), 'DM_TRANSFER_INVALID')
      expect(fault).toMatchObject({ detail })
    }
    await refused('base')
    await refused('base', second)
    const full = await bytesOf(await sendVolume(from, tuesday))
    expect(await expectCode(receiveVolume(to, pieces(full), { base: first }), 'DM_TRANSFER_INVALID')).toMatchObject({
      detail: 'base',
    })
    await expectOnly(pools, first, second)

    // A snapshot of the base does not hide a write that was before it.
    await first.activate()
    await writeBlock(first.path, 5, 99)
    await expectCode(receiveVolume(to, pieces(stream), { base: first }), 'DM_VOLUME_ACTIVE')
    await first.deactivate()
    await refused('base-modified', first)
    const taken = await first.snapshot()
    await refused('base-modified', first)
    await refused('base', taken)
    await taken.delete()
    // The same content is there again, but not the same blocks.
    await first.activate()
    await writeBlock(first.path, 5, 6)
    await first.deactivate()
    await refused('base-modified', first)
    await second.activate()
    await discard(second, 2)
    await second.deactivate()
    const after = await bytesOf(await sendVolume(from, tuesday, { from: other }))
    expect(await expectCode(receiveVolume(to, pieces(after), { base: second }), 'DM_TRANSFER_INVALID')).toMatchObject({
      detail: 'base-modified',
    })
    await expectOnly(pools, first, second)
  })
})

test('concurrent receives into one pool wait for each other, and a volume is copied within its own pool', async () => {
  await withPools(async pools => {
    const { from, to } = pools
    const volume = await written(from, 30)
    const [one, other] = [await volume.snapshot(), await volume.snapshot()]
    const copies = await Promise.all([one, other].map(async each => receiveVolume(to, await sendVolume(from, each))))
    const again = await receiveVolume(to, await sendVolume(to, copies[0]!))
    for (const copy of [...copies, again]) expect(await sha256(copy)).toBe(await sha256(one))
    await expectOnly(pools, ...copies, again)
  })
})

test('a pool that ignores discards receives zeros for what was unmapped', async () => {
  const record = scratch.path(`to-${++counter}.json`)
  await withPool(async from =>
    withPool({ record, ignoreDiscard: true }, async to => {
      const volume = await written(from, 8)
      const base = await volume.snapshot()
      const copy = await receiveVolume(to, await sendVolume(from, base))
      await discard(volume, 2, 3)
      const next = await volume.snapshot()
      const second = await receiveVolume(to, await sendVolume(from, next, { from: base }), { base: copy })
      expect(await sha256(second)).toBe(await sha256(next))
      expect(await mappedBlocks(to, second.id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    }),
  )
})

test('a damaged, truncated, newer or failing stream is refused and leaves nothing', async () => {
  await withPools(async pools => {
    const { from, to } = pools
    const base = await (await written(from, 20)).snapshot()
    const stream = await bytesOf(await sendVolume(from, base))
    const refused = async (source: AsyncIterable<Uint8Array>, detail: string) => {
      expect(await expectCode(receiveVolume(to, source), 'DM_TRANSFER_INVALID')).toMatchObject({ detail })
      await expectOnly(pools)
    }
    const changed = (at: number, value: number) => {
      const copy = Buffer.from(stream)
      copy[at < 0 ? stream.length + at : at] = value
      return pieces(copy)
    }
    await refused(changed(0, 0), 'damaged')
    await refused(changed(8, 2), 'damaged')
    await refused(changed(8, 3), 'version')
    await refused(changed(stream.length >> 1, stream[stream.length >> 1]! ^ 1), 'damaged')
    await refused(changed(-1, stream.at(-1)! ^ 1), 'damaged')
    await refused(pieces(Buffer.concat([stream, Buffer.from('x')])), 'damaged')
    for (const length of [0, 10, 300, stream.length >> 1, stream.length - 57, stream.length - 1]) {
      await refused(pieces(stream.subarray(0, length)), 'truncated')
    }
    await refused(
      (async function* () {
        yield stream.subarray(0, 200_000)
        throw new Error('the network')
      })(),
      'source',
    )
    const controller = new AbortController()
    const stalled = (async function* () {
      yield stream.subarray(0, 1_200_000) // the first chunk, and a part of the second
      await new Promise(() => {})
    })()
    const onProgress = () => controller.abort()
    await expectCode(receiveVolume(to, stalled, { signal: controller.signal, onProgress }), 'ABORT_ERR')
    await expectOnly(pools)
    const copy = await receiveVolume(to, pieces(stream, 1000))
    expect(await sha256(copy)).toBe(await sha256(base))
  })
})

test('pools without a record, and with blocks of another size, receive nothing', async () => {
  await withPools(async ({ from }) => {
    const base = await (await written(from, 2)).snapshot()
    const stream = await bytesOf(await sendVolume(from, base))
    await expectCode(receiveVolume(from, pieces(stream)), 'DM_UNSUPPORTED')
    const record = scratch.path(`${++counter}.json`)
    await withPool({ record, dataBlockBytes: 128 * 1024 }, async to => {
      expect(await expectCode(receiveVolume(to, pieces(stream)), 'DM_TRANSFER_INVALID')).toMatchObject({
        detail: 'block-size',
      })
      expect(await to.volumes()).toEqual([])
      expect(readFileSync(record, 'utf8')).not.toContain('receiving')
    })
    writeFileSync(record, '')
  })
})
