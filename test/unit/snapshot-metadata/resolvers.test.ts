// The resolvers, on the memory kernel and on a folder of bookmarks.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { poolSnapshots, snapshotId, storeSnapshots } from '../../../lib/entry/snapshot-metadata.js'
import { memoryKernel } from '../../../lib/entry/testing.js'
import { expectCode } from '../../helpers/errors/expect-code.js'

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'dm-thin-resolvers-'))))
afterEach(() => rmSync(folder, { recursive: true }))

async function withPool(body: (pool: ThinPool) => Promise<unknown>, more: { record?: string } = {}): Promise<void> {
  const kernel = memoryKernel()
  const pool = await ThinPool.create({
    name: 'images',
    data: { file: path.join(folder, 'data.img'), sizeBytes: 64 * MiB },
    metadata: { file: path.join(folder, 'metadata.img'), sizeBytes: 4 * MiB },
    kernel,
    ...more,
  })
  await body(pool)
  await pool.remove({ deactivate: true })
}

test('poolSnapshots finds a snapshot by its thin id, by its id with the clock, and by its name', () =>
  withPool(
    async pool => {
      const origin = await pool.createVolume({ sizeBytes: 3 * MiB })
      const first = await origin.snapshot({ name: 'monday' })
      const second = await origin.snapshot()
      const resolver = poolSnapshots(pool)
      const found = (id: string) => resolver.snapshot(id, {})
      const monday = { pool, id: first.id, sizeBytes: 3 * MiB }
      expect(await snapshotId(pool, first)).toBe('1@1')
      expect(await snapshotId(pool, second)).toBe('2@2')
      for (const id of ['1', '1@1', 'monday']) expect(await found(id)).toEqual(monday)
      for (const id of ['1@2', '9', '9@1', 'tuesday', '1@', '@1', '1@1@1', '-1', '99999999']) {
        await expectCode(found(id), 'DM_VOLUME_NOT_FOUND')
      }
    },
    { record: path.join(folder, 'record.json') },
  ))

test('an id with the clock is not that of a later snapshot with the same thin id', () =>
  withPool(async pool => {
    const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const snapshot = await origin.snapshot()
    const id = await snapshotId(pool, snapshot)
    await snapshot.delete()
    await expectCode(snapshotId(pool, snapshot), 'DM_VOLUME_NOT_FOUND')
    const later = await origin.snapshot({ id: snapshot.id })
    await later.activate({ readOnly: true })
    const resolver = poolSnapshots(pool)
    await expectCode(resolver.snapshot(id, {}), 'DM_VOLUME_NOT_FOUND')
    expect(await resolver.snapshot(await snapshotId(pool, later), {})).toMatchObject({ id: snapshot.id })
  }))

test('poolSnapshots rejects a volume of unknown size, and one with an external origin', () =>
  withPool(async pool => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const resolver = poolSnapshots(pool)
    await expectCode(resolver.snapshot(String(volume.id), {}), 'DM_SIZE_UNKNOWN')
    await volume.activate()
    expect(await resolver.snapshot(String(volume.id), {})).toMatchObject({ sizeBytes: MiB })
  }))

test('a bookmark is a file of the directory, whatever is in the id', async () => {
  const bookmarks = path.join(folder, 'bookmarks.d')
  await withPool(async pool => {
    const found = (id: string) => poolSnapshots(pool, { bookmarks }).bookmark!(id, {})
    expect(await found('7@3')).toBeUndefined()
    writeFileSync(path.join(folder, 'outside.bookmark'), '')
    rmSync(path.join(folder, 'bookmarks.d'), { force: true })
    expect(await found('../outside')).toBeUndefined()
    expect(await found('x'.repeat(300))).toBeUndefined()
    expect(await poolSnapshots(pool).bookmark!('7@3', {})).toBeUndefined()
  })
})

test('a bookmark has the encoded id in its name', () =>
  withPool(async pool => {
    for (const [id, name] of [
      ['7@3', '7%403.bookmark'],
      ['sha256:ab/cd', 'sha256%3Aab%2Fcd.bookmark'],
      ['..', '...bookmark'],
    ] as const) {
      const file = path.join(folder, name)
      writeFileSync(file, '')
      expect(await poolSnapshots(pool, { bookmarks: folder }).bookmark!(id, {})).toBe(file)
    }
  }))

test('the resolvers and snapshotId reject wrong arguments', () =>
  withPool(async pool => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const rejects = (call: () => unknown) => expectCode(Promise.resolve().then(call), 'DM_INVALID_ARGUMENT')
    await rejects(() => poolSnapshots({} as ThinPool))
    await rejects(() => poolSnapshots(pool, { bookmarks: '' }))
    await rejects(() => poolSnapshots(pool, { folder: 'x' } as object))
    await rejects(() => storeSnapshots({} as never))
    await rejects(() => snapshotId(pool, {} as never))
    await rejects(() => snapshotId({} as never, volume))
    await rejects(() => snapshotId(pool, volume, { timeout: 1 } as object))
    await withPool(other => rejects(() => snapshotId(other, volume)))
  }))
