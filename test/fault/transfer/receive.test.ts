// Processes that are killed while they receive a volume: what is left is never taken for a complete volume, and the next
// call deletes it.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { receiveVolume, sendVolume } from '../../../lib/entry/transfer.js'
import { runKilled, type Kill } from '../../helpers/fault/fault-child.js'
import { EIO, useFaults } from '../../helpers/fault/fault.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { discard, written } from '../../helpers/metadata/bookmark.js'
import { withPool } from '../../helpers/pool/pools.js'
import { bytesOf, contentsOf, pieces, sha256 } from '../../helpers/transfer/volumes.js'

const scratch = useScratch()
const hooks = useFaults()
let counter = 0

const SIZES = { dataBytes: 32 * MiB }

interface Scene {
  readonly to: ThinPool
  readonly record: string
  /** The volume that was received first, and an incremental stream from it. */
  readonly base: ThinVolume
  readonly stream: Buffer
  readonly file: string
  /** The digest of the volume that the stream leads to. */
  readonly expected: string
}

async function withScene(body: (scene: Scene) => Promise<void>): Promise<void> {
  const record = scratch.path(`receive-${++counter}.json`)
  await withPool(SIZES, from =>
    withPool({ ...SIZES, record }, async to => {
      const volume = await written(from, 20)
      const monday = await volume.snapshot()
      const base = await receiveVolume(to, await sendVolume(from, monday))
      for (const block of [2, 3, 30, 50]) await writeBlock(volume.path, block, 100 + block)
      await discard(volume, 10, 4)
      const tuesday = await volume.snapshot()
      const stream = await bytesOf(await sendVolume(from, tuesday, { from: monday }))
      const file = `${record}.stream`
      writeFileSync(file, stream)
      await body({ to, record, base, stream, file, expected: await sha256(tuesday) })
    }),
  )
}

/** What the pool has besides the base: volumes that are marked as unfinished, complete ones, and ones that are not recorded. */
async function foundIn({ to, record, base }: Scene) {
  const { ids, recorded } = await contentsOf(to, record)
  const others = recorded.filter(({ id }) => id !== base.id)
  return {
    unfinished: others.filter(({ receiving }) => receiving).map(({ id }) => id),
    complete: others.filter(({ receiving }) => !receiving).map(({ id }) => id),
    notRecorded: ids.filter(id => !recorded.some(each => each.id === id)),
  }
}

/** Receives the stream in a process that is killed. */
function receiveKilled({ to, record, base, file }: Scene, kill: Kill): void {
  const body = `
    const { receiveVolume } = require(${JSON.stringify(path.resolve('dist/entry/transfer.js'))})
    const pool = await dmThin.ThinPool.open(${JSON.stringify({ name: to.name, record })})
    const base = await pool.volume(${base.id})
    armed()
    await receiveVolume(pool, require('node:fs').createReadStream(${JSON.stringify(file)}), { base })`
  runKilled(body, kill)
}

const KILLS: readonly (readonly [Kill, unfinished: number, notRecorded: number, complete?: number])[] = [
  // The snapshot of the base, before its record and after it.
  [{ operation: 'DM_TARGET_MSG', nth: 1, kind: 'kill-before' }, 0, 0],
  [{ operation: 'DM_TARGET_MSG', nth: 1, kind: 'kill-after' }, 0, 1],
  [{ operation: 'DM_DEV_CREATE', nth: 1, kind: 'kill-before' }, 1, 0],
  // It is active, and written.
  [{ operation: 'DM_DEV_RESUME', nth: 1, kind: 'kill-after' }, 1, 0],
  [{ operation: 'pwrite', nth: 1, kind: 'kill-before' }, 1, 0],
  [{ operation: 'pwrite', nth: 2, kind: 'kill-after' }, 1, 0],
  [{ operation: 'BLKDISCARD', nth: 1, kind: 'kill-after' }, 1, 0],
  // Everything is written; its snapshot becomes the result.
  [{ operation: 'DM_DEV_REMOVE', nth: 1, kind: 'kill-before' }, 1, 0],
  [{ operation: 'DM_DEV_REMOVE', nth: 1, kind: 'kill-after' }, 1, 0],
  [{ operation: 'DM_TARGET_MSG', nth: 2, kind: 'kill-before' }, 1, 0],
  [{ operation: 'DM_TARGET_MSG', nth: 2, kind: 'kill-after' }, 1, 1],
  // The result is recorded; what it was made of is deleted.
  [{ operation: 'DM_TARGET_MSG', nth: 3, kind: 'kill-before' }, 1, 0, 1],
  [{ operation: 'DM_TARGET_MSG', nth: 3, kind: 'kill-after' }, 1, 0, 1],
]

test('a receive that is killed at any step leaves the whole volume or none, and the next one deletes what is marked', () =>
  withScene(async scene => {
    const { to, record, base, stream, expected } = scene
    const before = await sha256(base)
    for (const [kill, unfinished, notRecorded, complete = 0] of KILLS) {
      receiveKilled(scene, kill)
      const found = await foundIn(scene)
      const counts = Object.fromEntries(Object.entries(found).map(([what, ids]) => [what, ids.length]))
      expect({ kill, ...counts }).toEqual({ kill, unfinished, notRecorded, complete })
      for (const id of found.complete) {
        const whole = await to.volume(id)
        expect(await sha256(whole)).toBe(expected)
        await whole.delete()
      }

      const copy = await receiveVolume(to, pieces(stream), { base })
      expect(await foundIn(scene)).toEqual({ unfinished: [], complete: [copy.id], notRecorded: found.notRecorded })
      expect(await sha256(copy)).toBe(expected)
      await copy.delete()
      for (const id of found.notRecorded) await (await to.volume(id)).delete()
    }
    expect(await sha256(base)).toBe(before)
    expect(await contentsOf(to, record)).toMatchObject({ ids: [base.id] })
  }))

test('a receive whose write or flush fails leaves nothing, and the base as it was', () =>
  withScene(async scene => {
    const { to, base, stream, expected } = scene
    for (const [operation, nth] of [
      ['pwrite', 1],
      ['pwrite', 3],
      ['BLKDISCARD', 1],
      ['fsync', 1],
      ['DM_TABLE_LOAD', 1],
      ['DM_TARGET_MSG', 1],
      ['DM_TARGET_MSG', 2],
    ] as const) {
      hooks.setFault(operation, nth, 'fail', EIO)
      const fault = await receiveVolume(to, pieces(stream), { base }).then(
        () => undefined,
        (error: unknown) => error,
      )
      expect({ operation, nth, left: hooks.clearFaults(), fault }).toMatchObject({ left: 0, fault: { errno: EIO } })
      expect(await foundIn(scene)).toEqual({ unfinished: [], complete: [], notRecorded: [] })
    }
    // The volume from which the result was made: the next call deletes it.
    hooks.setFault('DM_TARGET_MSG', 3, 'fail', EIO)
    const copy = await receiveVolume(to, pieces(stream), { base })
    expect(hooks.clearFaults()).toBe(0)
    expect(await foundIn(scene)).toMatchObject({ unfinished: [expect.any(Number)], complete: [copy.id] })
    const second = await receiveVolume(to, pieces(stream), { base })
    expect(await foundIn(scene)).toEqual({ unfinished: [], complete: [copy.id, second.id], notRecorded: [] })
    for (const each of [copy, second]) expect(await sha256(each)).toBe(expected)
  }))

test('a volume that is not complete is not activated with the others of the record', () =>
  withScene(async scene => {
    const { to, record, base } = scene
    receiveKilled(scene, { operation: 'DM_DEV_CREATE', nth: 1, kind: 'kill-before' })
    expect((await foundIn(scene)).unfinished).toHaveLength(1)
    const again = await ThinPool.open({ name: to.name, record, activate: 'recorded' })
    const active = (await again.volumes()).filter(volume => volume.active)
    expect(active.map(({ id }) => id)).toEqual([base.id])
    await again.close()
  }))
