// Bookmarks and clean stops of a pool: each read made to fail, and processes killed between the steps of a stop or a start.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { runKilled } from '../../helpers/fault/fault-child.js'
import { attemptWith, EIO, useFaults } from '../../helpers/fault/fault.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { collect } from '../../helpers/metadata/collect.js'
import { withPool, type PoolFiles } from '../../helpers/pool/pools.js'

const scratch = useScratch()
const hooks = useFaults()
let folders = 0

interface Bookmarked {
  readonly pool: ThinPool
  readonly volume: ThinVolume
  readonly files: PoolFiles
  readonly record: string
  readonly folder: string
  readonly file: string
}

/** A pool with a record, whose volume has a bookmark in a folder of its own. */
async function bookmarked(body: (scene: Bookmarked) => Promise<void>): Promise<void> {
  const folder = scratch.path(`bookmarks-${++folders}`)
  mkdirSync(folder)
  const record = `${folder}.json`
  await withPool({ record }, async (pool, files) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    await writeBlock(volume.path, 3, 1)
    await volume.snapshot({ id: 5 })
    await volume.deactivate()
    const file = `${folder}/x`
    const metadata = await ThinMetadata.open(pool, { reserve: false })
    await metadata.bookmark(5, file)
    await metadata.close()
    await body({ pool, volume, files, record, folder, file })
  })
}

async function changed(pool: ThinPool, { file, volume }: Bookmarked) {
  const metadata = await ThinMetadata.open(pool)
  try {
    return await collect(metadata.changedSince(file, volume.id))
  } finally {
    await metadata.close()
  }
}

async function refusedAgain(scene: Bookmarked, options: object): Promise<void> {
  const again = await ThinPool.open({ ...scene.files.reopen, record: scene.record, ...options })
  const fault = await expectCode(changed(again, scene), 'DM_BOOKMARK_INVALID')
  expect(fault).toMatchObject({ detail: 'pool-start' })
  expect(readFileSync(scene.record, 'utf8')).not.toContain('starts')
  await again.close()
}

test('a bookmark whose reads fail leaves the file of before, and no other', () =>
  bookmarked(async ({ pool, volume, folder, file }) => {
    const before = readFileSync(file)
    await volume.activate()
    await writeBlock(volume.path, 4, 1)
    const next = await volume.snapshot()
    const metadata = await ThinMetadata.open(pool, { reserve: false })
    let failed = 0
    for (let nth = 1; ; nth++) {
      hooks.setFault('pread', nth, 'fail', EIO)
      const outcome = await metadata.bookmark(next.id, file).then(
        value => ({ value }),
        (fault: unknown) => ({ fault }),
      )
      expect(readdirSync(folder)).toEqual(['x'])
      if (hooks.clearFaults() > 0) {
        expect(outcome).toMatchObject({ value: { blocks: 2 } })
        break
      }
      if ('value' in outcome) continue // a read that is repeated
      failed++
      expect(outcome.fault).toMatchObject({ operation: 'pread', errno: EIO })
      expect(readFileSync(file)).toEqual(before)
    }
    expect(failed).toBeGreaterThan(2)
    expect(readFileSync(file)).not.toEqual(before)
    await metadata.close()
  }))

test('a stop without a digest of the metadata succeeds, and does not count as clean', () =>
  bookmarked(async scene => {
    const { fault } = await attemptWith(hooks, ['pread', 1], () => scene.pool.remove())
    expect(fault).toBeUndefined()
    await refusedAgain(scene, {})
  }))

test('a process that is killed after it has removed the pool leaves a stop that does not count as clean', () =>
  bookmarked(async scene => {
    const { name, record } = { ...scene.files, record: scene.record }
    await scene.pool.close()
    const body = `
      const pool = await dmThin.ThinPool.open(${JSON.stringify({ name, record })})
      armed()
      await pool.remove()`
    runKilled(body, { operation: 'DM_DEV_REMOVE', kind: 'kill-after' })
    await refusedAgain(scene, {})
  }))

test('a process that is killed after it has started the pool leaves a start that does not continue the others', () =>
  bookmarked(async scene => {
    await scene.pool.remove()
    const body = `
      armed()
      await dmThin.ThinPool.open(${JSON.stringify({ ...scene.files.reopen, record: scene.record })})`
    runKilled(body, { operation: 'DM_DEV_RESUME', kind: 'kill-after' })
    await refusedAgain(scene, {})
  }))
