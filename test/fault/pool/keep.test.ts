// Keepers killed at each step: the next open restores the pool's options, and the next keeper grows it.
// @udev both
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB, ThinPool, type DmThinError, type Finding } from '../../../lib/entry/index.js'
import { spareIds } from '../../../lib/pool/spares/spare-volumes.js'
import { BLOCK, pattern, readAt, writeAt, writeInTurn } from '../../helpers/kernel/blocks.js'
import { runKilled, type Kill } from '../../helpers/fault/fault-child.js'
import { attemptWith, useFaults } from '../../helpers/fault/fault.js'
import { withPool } from '../../helpers/pool/pools.js'
import { run } from '../../helpers/process/spawned.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const hooks = useFaults()
beforeEach(() => scratch.log.allow(/no free data space/, /reached low water mark/, /out-of-data-space/))

const OPTIONS = {
  data: { growBelowBytes: 4 * BLOCK, stepBytes: 8 * BLOCK },
  metadata: { minBytes: 0, growBelowBytes: 1 },
  lookEveryMs: 3_600_000,
}
const SMALL = { dataBytes: 16 * BLOCK }
const options = JSON.stringify(OPTIONS)

/** Kills a child in `body`; then opens the pool, keeps it, and writes past its old end. */
async function survives(body: (name: string) => string, kill: Kill, expected: readonly Finding['kind'][]) {
  await withPool(SMALL, async (first, { name }) => {
    const volume = await (await first.createVolume({ sizeBytes: 16 * MiB })).activate()
    await writeAt(volume.path, 0, pattern(1, 10 * BLOCK))
    runKilled(body(name), kill)
    const pool = await ThinPool.open(name)
    expect(pool.findings.map(({ kind, error }) => [kind, error])).toEqual(expected.map(kind => [kind, undefined]))
    expect(dmInfo(name)).toMatchObject({ suspended: false, inactiveTable: false })
    expect(dmTable(name)).toMatch(expected.includes('dead-keeper') ? / 128 0 1 error_if_no_space$/ : / 128 0 \d/)
    const errors: DmThinError[] = []
    await using keeper = await pool.keep({ ...OPTIONS, onError: error => errors.push(error) })
    expect(keeper.active).toBe(true)
    await writeInTurn(volume.path, 16 * BLOCK, pattern(2, 60 * BLOCK))
    expect((await readAt(volume.path, 0, 10 * BLOCK)).equals(pattern(1, 10 * BLOCK))).toBe(true)
    expect((await readAt(volume.path, 16 * BLOCK, 60 * BLOCK)).equals(pattern(2, 60 * BLOCK))).toBe(true)
    expect((await pool.status()).mode).toBe('rw')
    expect(errors).toEqual([])
  })
}

const opened = (name: string) => `const pool = await dmThin.ThinPool.open(${JSON.stringify(name)})`

describe('a keeper killed while it grows the pool loses no data', () => {
  const growing = (name: string) => `
    ${opened(name)}
    await pool.keep(${options})
    const [volume] = await pool.volumes()
    armed()
    const file = await require('node:fs/promises').open(volume.path, 'r+')
    await file.write(Buffer.alloc(${6 * BLOCK}, 7), 0, ${6 * BLOCK}, ${90 * BLOCK})
    await file.sync()
    await new Promise(resolve => setTimeout(resolve, 60_000))`

  test.each([
    ['ftruncate', 'kill-before', []],
    ['ftruncate', 'kill-after', []],
    ['LOOP_SET_CAPACITY', 'kill-before', []],
    ['LOOP_SET_CAPACITY', 'kill-after', []],
    ['DM_TABLE_LOAD', 'kill-after', ['abandoned-table']],
    ['DM_DEV_RESUME', 'kill-before', ['abandoned-table']],
    ['DM_DEV_RESUME', 'kill-after', []],
  ] as const)('a kill at %s, %s, leaves a pool that the next keeper grows', (operation, kind, left) =>
    survives(growing, { operation, kind }, [...left, 'dead-keeper']),
  )
})

describe('a keeper killed while it begins or ends loses no data', () => {
  const beginning = (name: string) => `${opened(name)}; armed(); await pool.keep(${options})`
  const ending = (name: string) => `
    ${opened(name)}
    const keeper = await pool.keep(${options})
    armed()
    await keeper.stop()`

  test.each([
    ['DM_TABLE_LOAD', 'kill-before', ['dead-keeper']],
    ['DM_TABLE_LOAD', 'kill-after', ['abandoned-table', 'dead-keeper']],
    ['DM_DEV_RESUME', 'kill-after', ['dead-keeper']],
  ] as const)('a kill in its first %s, %s, leaves a pool that the next keeper grows', (operation, kind, left) =>
    survives(beginning, { operation, kind }, left),
  )

  test.each([
    ['DM_TABLE_LOAD', 'kill-before', ['dead-keeper']],
    ['DM_DEV_RESUME', 'kill-before', ['abandoned-table', 'dead-keeper']],
    ['DM_DEV_RESUME', 'kill-after', ['dead-keeper']],
  ] as const)('a kill in its last %s, %s, leaves a pool that the next keeper grows', (operation, kind, left) =>
    survives(ending, { operation, kind }, left),
  )
})

describe('a keeper killed while it makes or deletes a spare leaves nothing that its successor does not find', () => {
  const LARGE = { dataBytes: 64 * BLOCK }
  const making = (name: string) => `
    ${opened(name)}
    armed()
    await pool.keep(${options})
    await new Promise(resolve => setTimeout(resolve, 60_000))`
  const deleting = (name: string) => `
    ${opened(name)}
    const keeper = await pool.keep(${options})
    while ((await pool.status()).data.usedBlocks < 14) await new Promise(resolve => setTimeout(resolve, 10))
    armed()
    await keeper.stop()`
  const usedBlocks = async (pool: ThinPool) => (await pool.status()).data!.usedBlocks

  /** Only the volume of the test is there, with its ten blocks. */
  async function isBare(pool: ThinPool): Promise<void> {
    expect(await usedBlocks(pool)).toBe(10)
    expect((await pool.volumes()).map(({ id }) => id)).toEqual([0])
    expect(await spareIds(pool.context)).toEqual({ spares: [], halfMade: undefined, others: [] })
    expect(
      run('dmsetup', ['ls'])
        .split('\n')
        .filter(line => line.startsWith(`${pool.name}-`)),
    ).toHaveLength(1)
  }

  test.each([
    ['DM_TARGET_MSG', 1, 'kill-before', making],
    ['DM_TARGET_MSG', 1, 'kill-after', making],
    ['DM_DEV_CREATE', 1, 'kill-after', making],
    ['DM_TABLE_LOAD', 2, 'kill-after', making],
    ['DM_DEV_RESUME', 2, 'kill-after', making],
    ['pwrite', 1, 'kill-after', making],
    ['fdatasync', 1, 'kill-after', making],
    ['DM_DEV_REMOVE', 1, 'kill-after', making],
    ['DM_TARGET_MSG', 1, 'kill-before', deleting],
    ['DM_TARGET_MSG', 2, 'kill-after', deleting],
  ] as const)('a kill at %s %d, %s', (operation, nth, kind, body) =>
    withPool(LARGE, async (pool, { name }) => {
      const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
      await writeAt(volume.path, 0, pattern(1, 10 * BLOCK))
      runKilled(body(name), { operation, nth, kind })
      expect((await pool.volumes()).map(({ id }) => id)).toEqual([0])
      const keeper = await pool.keep(OPTIONS)
      while ((await usedBlocks(pool)) < 14) await sleep(10)
      await keeper.stop()
      await isBare(pool)
      runKilled(body(name), { operation, nth, kind })
      const again = await ThinPool.open(name)
      const kinds = again.findings.map(found => found.kind)
      expect(kinds.filter(found => found !== 'dead-keeper')).toEqual([])
      await isBare(again)
      expect((await readAt(volume.path, 0, 10 * BLOCK)).equals(pattern(1, 10 * BLOCK))).toBe(true)
    }),
  )
})

test('a failed step of a growth is reported; the writer waits, and the next attempt grows the pool', async () => {
  for (const operation of ['ftruncate', 'LOOP_SET_CAPACITY', 'DM_TABLE_LOAD', 'DM_DEV_RESUME']) {
    await withPool(SMALL, async pool => {
      const reported: unknown[] = []
      await using _ = await pool.keep({
        ...OPTIONS,
        lookEveryMs: 100,
        onError: error => reported.push(error.operation),
      })
      const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
      await attemptWith(hooks, [operation, 1], async () => {
        await writeInTurn(volume.path, 0, pattern(1, 40 * BLOCK))
        while (reported.length === 0) await sleep(10)
      })
      expect(reported).toEqual([operation])
      expect((await readAt(volume.path, 0, 40 * BLOCK)).equals(pattern(1, 40 * BLOCK))).toBe(true)
      expect((await pool.status()).mode).toBe('rw')
    })
  }
})
