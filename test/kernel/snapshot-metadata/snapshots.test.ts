// The snapshots that are served, and those that are refused: of pools, of stores, of bookmarks; while others are written, and when
// they are written or deleted themselves.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { status, type ServiceError } from '@grpc/grpc-js'
import { alignedBuffer, BlockDevice, MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { poolSnapshots, snapshotId, storeSnapshots } from '../../../lib/entry/snapshot-metadata.js'
import { BLOCK } from '../../helpers/kernel/blocks.js'
import { dmResume, dmSuspend } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { withLoops, withPool } from '../../helpers/pool/pools.js'
import { blocksIn, type Response } from '../../helpers/snapshot-metadata/client.js'
import { serving } from '../../helpers/snapshot-metadata/serving.js'
import { contentOf, rebuilt } from '../../helpers/snapshot-metadata/verify.js'
import { withStore } from '../../helpers/store/stores.js'

const scratch = useScratch()
const SIZE = 64 * BLOCK

/** Writes a page in each of these blocks of a device. */
async function write(path: string, blocks: readonly number[], value = 1): Promise<void> {
  const device = await BlockDevice.open(path)
  const page = alignedBuffer(4096)
  page.fill(value)
  for (const block of blocks) await device.write(block * BLOCK, page)
  await device.close()
}

const withRecord = <T>(body: (pool: ThinPool) => Promise<T>, more = {}): Promise<T> =>
  withPool({ record: scratch.path(`${scratch.name('record')}.json`), ...more }, body)

/** A volume that is active for writing, and two snapshots of it. */
async function twoSnapshots(pool: ThinPool) {
  const origin = await (await pool.createVolume({ sizeBytes: SIZE, name: scratch.name('origin') })).activate()
  await write(origin.path, [1, 2, 3])
  const first = await origin.snapshot({ name: scratch.name('first') })
  await write(origin.path, [2, 9], 2)
  const second = await origin.snapshot({ name: scratch.name('second') })
  return { origin, first, second }
}

test('a snapshot has the id of snapshotId, its thin id and its name, and one that is written is refused', () =>
  withRecord(async pool => {
    const { origin, first, second } = await twoSnapshots(pool)
    await serving({ snapshots: poolSnapshots(pool) }, async ({ client }) => {
      const ids = async (volume: ThinVolume) => [await snapshotId(pool, volume), String(volume.id), volume.name]
      for (const base of await ids(first)) {
        for (const target of await ids(second)) {
          expect(blocksIn(await client.entries(base, target), BLOCK)).toEqual([2, 9])
        }
      }
      expect((await client.failure(undefined, origin.name)).code).toBe(status.FAILED_PRECONDITION)
      expect((await client.failure(first.name, origin.name)).code).toBe(status.FAILED_PRECONDITION)
      await first.activate({ readOnly: true })
      expect(blocksIn(await client.entries(undefined, first.name), BLOCK)).toEqual([1, 2, 3])
      await first.deactivate()
      await first.activate()
      expect((await client.failure(undefined, first.name)).code).toBe(status.FAILED_PRECONDITION)
    })
  }))

test('a volume that has the thin id of a deleted snapshot is not taken for it', () =>
  withRecord(async pool => {
    const { origin, first, second } = await twoSnapshots(pool)
    const deleted = await snapshotId(pool, first)
    await first.delete()
    const other = await origin.snapshot({ id: first.id })
    await serving({ snapshots: poolSnapshots(pool) }, async ({ client }) => {
      expect((await client.failure(deleted, await snapshotId(pool, second))).code).toBe(status.NOT_FOUND)
      expect((await client.failure(undefined, deleted)).code).toBe(status.NOT_FOUND)
      expect((await client.failure(undefined, second.name.replace('second', 'third'))).code).toBe(status.NOT_FOUND)
      expect(await client.entries(undefined, await snapshotId(pool, other))).not.toEqual([])
    })
  }))

test('the base may be the bookmark of a deleted snapshot', () =>
  withRecord(async pool => {
    const { first, second } = await twoSnapshots(pool)
    const folder = scratch.path('bookmarks')
    mkdirSync(folder)
    const content = await contentOf(first)
    const [base, target] = [await snapshotId(pool, first), await snapshotId(pool, second)]
    const metadata = await ThinMetadata.open(pool)
    await metadata.bookmark(first.id, join(folder, `${encodeURIComponent(base)}.bookmark`))
    await metadata.close()
    writeFileSync(join(folder, 'spoilt.bookmark'), 'not a bookmark')
    await first.delete()
    await serving({ snapshots: poolSnapshots(pool, { bookmarks: folder }) }, async ({ client }) => {
      const entries = await client.entries(base, target)
      expect(blocksIn(entries, BLOCK)).toEqual([2, 9])
      const wanted = await contentOf(second)
      expect(rebuilt(content, wanted, entries).equals(wanted)).toBe(true)
      expect(await client.entriesWithRestarts(base, target, 1)).toHaveLength(2)
      expect((await client.failure('spoilt', target)).code).toBe(status.FAILED_PRECONDITION)
      expect((await client.failure('../bookmarks/spoilt', target)).code).toBe(status.NOT_FOUND)
      expect((await client.failure(undefined, base)).code).toBe(status.NOT_FOUND)
    })
    rmSync(folder, { recursive: true })
  }))

test('a target that was grown has its own size, and the blocks that were added', () =>
  withRecord(async pool => {
    const { origin, first } = await twoSnapshots(pool)
    await origin.grow({ sizeBytes: SIZE + 4 * BLOCK + 4096 })
    await write(origin.path, [66, 68], 3)
    const grown = await origin.snapshot()
    for (const fixedLength of [false, true]) {
      await serving({ snapshots: poolSnapshots(pool), fixedLength }, async ({ client }) => {
        const [base, target] = [await snapshotId(pool, first), await snapshotId(pool, grown)]
        const entries = await client.entries(base, target)
        const response = await client.first(base, target)
        expect(response.volume_capacity_bytes).toBe(SIZE + 4 * BLOCK + 4096)
        expect(entries.at(-1)).toEqual({ byte_offset: 68 * BLOCK, size_bytes: 4096 })
        const content = await contentOf(grown)
        expect(rebuilt(await contentOf(first), content, entries).equals(content)).toBe(true)
      })
    }
  }))

test('sizes that are unknown, and external origins, are refused with the status that asks for a full backup', async () => {
  const file = scratch.path('origin.img')
  writeFileSync(file, Buffer.alloc(SIZE))
  await withLoops([file], ([number]) =>
    withPool(async pool => {
      const volume = await pool.createVolume({ sizeBytes: SIZE })
      const externalOrigin = `/dev/loop${number!.slice(2)}`
      const child = await pool.createVolume({ sizeBytes: SIZE, externalOrigin })
      await child.activate({ readOnly: true })
      await serving({ snapshots: poolSnapshots(pool) }, async ({ client }) => {
        expect(await client.failure(undefined, String(volume.id))).toMatchObject({
          code: status.FAILED_PRECONDITION,
          details: expect.stringContaining('its size is not in a record') as string,
        })
        expect(await client.failure(undefined, String(child.id))).toMatchObject({
          code: status.FAILED_PRECONDITION,
          details: expect.stringContaining('external origin') as string,
        })
        await volume.activate({ readOnly: true })
        expect(await client.entries(undefined, String(volume.id))).toEqual([])
      })
    }),
  )
})

test('committed layers of a store are served by their keys, active layers and views are refused', () =>
  withStore({}, async store => {
    const fill = async (key: string, parent: string, blocks: readonly number[], value: number) => {
      const own = parent === '' ? { raw: true, sizeBytes: 16 * MiB } : {}
      const { device } = await store.prepare(`${key}-active`, parent, own)
      await write(device, blocks, value)
      await store.commit(key, `${key}-active`)
    }
    await fill('base', '', [0, 5], 1)
    await fill('next', 'base', [5, 7], 2)
    await store.prepare('active', 'next')
    await store.view('view', 'next')
    await serving({ snapshots: storeSnapshots(store) }, async ({ client }) => {
      expect(blocksIn(await client.entries('base', 'next'), BLOCK)).toEqual([5, 7])
      const file = scratch.path('next.img')
      await store.exportRaw('next', file)
      const content = readFileSync(file)
      expect(rebuilt(undefined, content, await client.entries(undefined, 'next')).equals(content)).toBe(true)
      for (const key of ['active', 'view']) {
        expect((await client.failure('base', key)).code).toBe(status.FAILED_PRECONDITION)
      }
      expect((await client.failure('none', 'next')).code).toBe(status.NOT_FOUND)
      await store.remove('active')
      await store.remove('view')
      await store.remove('next')
      expect((await client.failure('base', 'next')).code).toBe(status.NOT_FOUND)
    })
  }))

test('a pool that is suspended is read, and one that somebody else has removed is unavailable', () =>
  withRecord(async pool => {
    const { first, second } = await twoSnapshots(pool)
    await serving({ snapshots: poolSnapshots(pool) }, async ({ client }) => {
      dmSuspend(pool.name)
      expect(await client.entries(first.name, second.name)).toHaveLength(2)
      dmResume(pool.name)
      const other = await ThinPool.open(pool.name)
      await other.remove({ deactivate: true })
      expect((await client.failure(first.name, second.name)).code).toBe(status.UNAVAILABLE)
      expect((await client.failure(undefined, String(second.id))).code).toBe(status.UNAVAILABLE)
    })
  }))

const EVERY_SECOND = Array.from({ length: 4300 }, (_, at) => 2 * at)
const LARGE = { dataBytes: 1024 * MiB, metadataBytes: 8 * MiB, skipBlockZeroing: true }

test('concurrent calls have the same entries while the origin is written and snapshotted', () =>
  withRecord(async pool => {
    const { origin, first, second } = await twoSnapshots(pool)
    await serving({ snapshots: poolSnapshots(pool) }, async ({ client }) => {
      const wanted = await client.entries(first.name, second.name)
      let running = true
      const churn = async () => {
        for (let at = 0; running; at = (at + 1) % 60) {
          await write(origin.path, [at, at + 1, at + 2], at)
          await (await origin.snapshot()).delete()
        }
      }
      const churning = churn()
      for (let round = 0; round < 5; round++) {
        const calls = Array.from({ length: 16 }, () => client.entries(first.name, second.name))
        for (const entries of await Promise.all(calls)) expect(entries).toEqual(wanted)
      }
      running = false
      await churning
    })
  }))

test.each<[string, (volume: ThinVolume) => Promise<unknown>, number[]]>([
  ['is deleted', volume => volume.delete(), [status.ABORTED]],
  [
    'is activated and written',
    async volume => write((await volume.activate()).path, [1, 3, 5]),
    [status.ABORTED, status.FAILED_PRECONDITION],
  ],
])('a snapshot that %s while it is sent ends the stream with an error', (_, change, codes) =>
  withRecord(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 9000 * BLOCK })).activate()
    await write(volume.path, EVERY_SECOND)
    await volume.deactivate()
    await serving({ snapshots: poolSnapshots(pool) }, async ({ client }) => {
      const responses: Response[] = []
      const reading = async () => {
        // More of them than fit in the buffers of client and server.
        for await (const response of client.responses(undefined, String(volume.id), { max_results: 1 })) {
          if (responses.push(response) === 1) await change(volume)
        }
      }
      const fault = await reading().then(
        () => undefined,
        (error: ServiceError) => error,
      )
      expect(codes).toContain(fault?.code)
      expect(responses.length).toBeLessThan(EVERY_SECOND.length + 1)
    })
  }, LARGE),
)
