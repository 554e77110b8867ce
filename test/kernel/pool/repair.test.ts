// ThinPool.check and ThinPool.repair on metadata that is damaged on purpose: each kind of damage leads to a named state,
// and the call that the result names resolves it.
import { copyFileSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { truncate } from 'node:fs/promises'
import path from 'node:path'
import { MiB, ThinPool, type RepairedPool, type RepairPoolOptions } from '../../../lib/entry/index.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { seedOf, writeBlock } from '../../helpers/kernel/blocks.js'
import { dmStatus, thinCheck } from '../../helpers/kernel/dmsetup.js'
import { markedDevices, markedLoops } from '../../helpers/kernel/kernel-state.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { DAMAGE } from '../../helpers/metadata/damage.js'
import { BROKEN, onLinear } from '../../helpers/pool/broken-pool.js'
import { withPool, type PoolFiles } from '../../helpers/pool/pools.js'
import { run } from '../../helpers/process/spawned.js'

const scratch = useScratch()
const SIZE = { sizeBytes: 16 * MiB }

/** The seeds of blocks 3 and 9 of each volume: volume 1 is a snapshot of volume 0 whose block 9 was written. */
const CONTENT: readonly (readonly [number, number])[] = [
  [10, 10],
  [10, 21],
  [32, 32],
]
const SEEDS = CONTENT.flat()
const ALL = [0, 1, 2]

type Options = RepairPoolOptions & PoolFiles['reopen'] & { readonly record: string }

/** A pool at rest with three volumes, and a record. */
const atRest = (body: (options: Options, files: PoolFiles) => Promise<void>): Promise<void> =>
  withPool({ check: false }, async (pool, files) => {
    const options = { ...files.reopen, record: `${files.dataFile}.record` }
    await pool.close()
    const recorded = await ThinPool.open({ name: files.name, record: options.record })
    const write = async (id: number, block: 3 | 9) => {
      const volume = await recorded.volume(id)
      if (!volume.active) await volume.activate()
      await writeBlock(volume.path, block, CONTENT[id]![block === 3 ? 0 : 1])
    }
    const origin = await recorded.createVolume({ ...SIZE, id: 0 })
    for (const block of [3, 9] as const) await write(0, block)
    await origin.snapshot({ id: 1 })
    await write(1, 9)
    await recorded.createVolume({ ...SIZE, id: 2 })
    for (const block of [3, 9] as const) await write(2, block)
    await recorded.remove({ deactivate: true })
    await body(options, files)
  })

/** Reads the volumes, writes to them, takes the pool down and has its metadata checked. */
async function expectSound(pool: ThinPool, metadata: string, ids: readonly number[], whole = ids): Promise<void> {
  expect((await pool.volumes()).map(({ id }) => id)).toEqual(ids)
  expect(await pool.status()).toMatchObject({ mode: 'rw', needsCheck: false })
  for (const id of whole) {
    const volume = await (await pool.volume(id)).activate()
    expect([id, await seedOf(volume.path, 3, SEEDS), await seedOf(volume.path, 9, SEEDS)]).toEqual([
      id,
      ...CONTENT[id]!,
    ])
    await writeBlock(volume.path, 30, 10)
  }
  await pool.remove({ deactivate: true })
  thinCheck(metadata)
}

describe.each([
  ['with the needs-check flag', DAMAGE.needsCheck, 'needs-check', 'flag', []],
  ['with a flipped bit in the superblock', DAMAGE.superblockBit, 'superblock-damaged', 'thin_repair', []],
  ['with zeros in place of the superblock', DAMAGE.superblockZero, 'superblock-damaged', 'thin_repair', []],
  ['with a superblock of another version', DAMAGE.version, 'superblock-damaged', 'thin_repair', []],
  ['in a file that was truncated', DAMAGE.short, 'metadata-short', 'thin_restore', []],
  ['with a damaged bitmap', DAMAGE.bitmap, 'damaged', 'thin_restore', []],
  ['with a block that is used and counted as free', DAMAGE.countTooLow, 'damaged', 'thin_restore', []],
  ['with a block that is free and counted as used', DAMAGE.leak, 'leaks', 'thin_restore', []],
  ['with damaged details of the volumes', DAMAGE.details, 'damaged', 'thin_restore', []],
  ['with a damaged leaf of volume 2', (file: string) => DAMAGE.leaf(file, 2), 'damaged', 'thin_restore', [2]],
] as const)('metadata %s', (_, damage, state, by, lost) => {
  test(`is in the state ${state}, and repair() keeps the original and the volumes`, () =>
    atRest(async (options, { metadataFile }) => {
      damage(metadataFile)
      const damaged = readFileSync(metadataFile)
      const check = await ThinPool.check(options)
      expect(check).toMatchObject({ state, running: false })
      expect(check.details).not.toEqual([])
      expect(check.resolve).toContain('ThinPool.repair(')
      expect(readFileSync(metadataFile).equals(damaged)).toBe(true)

      const repaired: RepairedPool = await ThinPool.repair(options)
      const original = by === 'flag' ? undefined : `${metadataFile}.before-repair`
      expect(repaired).toMatchObject({ state, by, lost, original, metadata: { file: metadataFile } })
      const dropped = lost.map(id => ({ kind: 'volume-missing', action: 'dropped', detail: String(id) }))
      expect(repaired.pool.findings).toMatchObject(dropped)
      if (original) expect(readFileSync(original).equals(damaged)).toBe(true)
      await expectSound(
        repaired.pool,
        metadataFile,
        ALL.filter(id => !(lost as readonly number[]).includes(id)),
      )
      expect(readFileSync(metadataFile).length).toBe(4 * MiB)
      expect(readdirSync(path.dirname(metadataFile)).filter(name => name.includes('.repair-'))).toEqual([])
      expect(await ThinPool.check(options)).toMatchObject({ state: 'ok', resolve: undefined, details: [] })
    }))
})

test('metadata with a damaged root of all volumes is repaired to an older state, and the result counts what is missing', () =>
  atRest(async (options, { metadataFile }) => {
    DAMAGE.volumesRoot(metadataFile)
    expect(await ThinPool.check(options)).toMatchObject({ state: 'damaged' })
    const { pool, by, volumes } = await ThinPool.repair(options)
    expect(by).toBe('thin_repair')
    const there = volumes.filter(({ mappedBlocks }) => mappedBlocks !== undefined).map(({ id }) => id)
    const whole = volumes.filter(({ mappedBlocks }) => mappedBlocks === 2).map(({ id }) => id)
    expect(there.length).toBeGreaterThan(0)
    expect(whole.length).toBeLessThan(ALL.length) // the last write of volume 2 is in no older tree
    await expectSound(pool, metadataFile, there, whole)
  }))

test('metadata that was wiped is in the state blank, and repair() rejects it with DM_METADATA_BLANK', () =>
  atRest(async (options, { metadataFile }) => {
    DAMAGE.wiped(metadataFile)
    const check = await ThinPool.check(options)
    expect(check.state).toBe('blank')
    expect(check.resolve).toContain('ThinPool.create(')
    const fault = await expectCode(ThinPool.repair(options), 'DM_METADATA_BLANK')
    expect(fault.detail).toBe('blank')
    await (await ThinPool.create({ ...options, record: `${options.record}.new` })).remove()
    thinCheck(metadataFile)
  }))

test('data that was truncated is in the state data-short, and open() succeeds when it has its size again', () =>
  atRest(async (options, { dataFile, metadataFile }) => {
    await truncate(dataFile, 32 * MiB)
    const check = await ThinPool.check(options)
    expect(check.state).toBe('data-short')
    expect(check.resolve).toContain('ThinPool.open(')
    await expectCode(ThinPool.repair(options), 'DM_POOL_MISMATCH')
    await truncate(dataFile, 64 * MiB)
    await expectSound(await ThinPool.open({ ...options, check: 'full' }), metadataFile, ALL)
  }))

test('metadata of two pools that were exchanged is in the state mismatch, and open() with the right one succeeds', () =>
  atRest((options, { metadataFile }) =>
    withPool({ check: false }, async (other, { metadataFile: otherFile }) => {
      await other.createVolume({ ...SIZE, id: 7 })
      await other.remove()
      const swap = () => {
        for (const [from, to] of [
          [metadataFile, `${metadataFile}.swap`],
          [otherFile, metadataFile],
          [`${metadataFile}.swap`, otherFile],
        ] as const) {
          copyFileSync(from, to)
        }
      }
      swap()
      const check = await ThinPool.check(options)
      expect(check.state).toBe('mismatch')
      expect(check.resolve).toContain('with the right metadata')
      expect(check.details.join()).toContain('recorded volumes 0 1 2')
      expect(await expectCode(ThinPool.open({ ...options, check: 'quick' }), 'DM_CHECK_FAILED')).toMatchObject({
        detail: 'mismatch',
      })
      await expectCode(ThinPool.repair(options), 'DM_POOL_MISMATCH')
      swap()
      await expectSound(await ThinPool.open({ ...options, check: 'quick' }), metadataFile, ALL)
    }),
  ))

test('an older backup of the metadata is in the state mismatch by its transaction id, and open() without check accepts it', () =>
  atRest(async (options, { metadataFile }) => {
    copyFileSync(metadataFile, `${metadataFile}.backup`)
    const pool = await ThinPool.open(options)
    await pool.setTransactionId({ currentId: 0n, newId: 5n })
    await pool.remove()
    expect(await ThinPool.check({ ...options, transactionId: 5n })).toMatchObject({ state: 'ok' })
    renameSync(`${metadataFile}.backup`, metadataFile)
    const check = await ThinPool.check({ ...options, transactionId: 5n, depth: 'quick' })
    expect(check.state).toBe('mismatch')
    expect(check.details.join()).toContain('older')
    await expectSound(await ThinPool.open(options), metadataFile, ALL)
  }))

test('open() with check rejects damaged metadata with the state and the call, and starts nothing', () =>
  atRest(async (options, { metadataFile }) => {
    DAMAGE.bitmap(metadataFile)
    const fault = await expectCode(ThinPool.open({ ...options, check: 'full' }), 'DM_CHECK_FAILED')
    expect(fault).toMatchObject({ detail: 'damaged' })
    expect(fault.message).toContain('ThinPool.repair(')
    expect([markedDevices(), markedLoops()]).toEqual([[], []])
    await expectSound((await ThinPool.repair(options)).pool, metadataFile, ALL)
    DAMAGE.needsCheck(metadataFile)
    const flagged = await expectCode(ThinPool.open({ ...options, check: 'quick' }), 'DM_CHECK_FAILED')
    expect(flagged).toMatchObject({ detail: 'needs-check' })
    DAMAGE.superblockBit(metadataFile)
    expect((await expectCode(ThinPool.open(options), 'DM_METADATA_CORRUPT')).message).toContain('ThinPool.repair(')
  }))

test('open() with check starts a pool with leaked blocks', () =>
  atRest(async (options, { metadataFile }) => {
    DAMAGE.leak(metadataFile)
    const pool = await ThinPool.open({ ...options, check: 'full' })
    expect((await pool.status()).mode).toBe('rw')
    await pool.remove()
    await expectSound((await ThinPool.repair(options)).pool, metadataFile, ALL)
  }))

test('repair() of metadata without a superblock or a record needs dataBlockBytes', () =>
  atRest(async ({ record: _, ...options }, { metadataFile }) => {
    DAMAGE.superblockZero(metadataFile)
    const fault = await expectCode(ThinPool.repair(options), 'DM_REPAIR_FAILED')
    expect(fault.message).toContain('dataBlockBytes')
    const { pool } = await ThinPool.repair({ ...options, dataBlockBytes: 65_536, transactionId: 77n })
    expect(await pool.status()).toMatchObject({ transactionId: 77n, data: { totalBytes: 64 * MiB } })
    await pool.remove()
    thinCheck(metadataFile)
  }))

test('check() of a running pool reads a metadata snapshot, and releases it', async () => {
  scratch.log.allow(/metadata snapshot already exists/, /reserve_metadata_snap message failed/)
  await withPool(async (pool, { name }) => {
    await (await pool.createVolume({ ...SIZE, id: 0 })).snapshot({ id: 1 })
    expect(await pool.check({ depth: 'quick' })).toMatchObject({ state: 'ok', running: true })
    expect(await pool.check()).toMatchObject({ state: 'ok', running: true, resolve: undefined })
    expect(await ThinPool.check(name)).toMatchObject({ state: 'ok', running: true })
    expect((await pool.status()).heldMetadataRoot).toBeNull()
    const held = await pool.reserveMetadataSnapshot()
    await expectCode(pool.check(), 'DM_METADATA_SNAPSHOT_HELD')
    expect((await pool.status()).heldMetadataRoot).toBe(held.root)
    await held.release()
  })
})

test('repair() of a running pool without a fault rejects active volumes, deactivates them, and opens the pool again', async () => {
  const record = scratch.path('record')
  await withPool({ lowWaterMarkBlocks: 9, record }, async pool => {
    await (await pool.createVolume({ ...SIZE, id: 0 })).activate()
    await expectCode(pool.repair(), 'DM_POOL_IN_USE')
    const again = await ThinPool.open({ name: pool.name, record, reserve: { dataBytes: 1024 * MiB } })
    const repaired = await again.repair({ deactivate: true })
    expect(repaired).toMatchObject({ state: 'ok', by: 'none', original: undefined, volumes: [], lost: [] })
    await expectCode(again.status(), 'DM_CLOSED')
    expect(await repaired.pool.status()).toMatchObject({ mode: 'rw', lowWaterMark: { blocks: 9 } })
    expect(await repaired.pool.volumes()).toMatchObject([{ id: 0, sizeBytes: SIZE.sizeBytes, active: false }])
    await expectCode(repaired.pool.createVolume(SIZE), 'DM_POOL_RESERVE')
  })
})

test('repair() of a pool that could not commit clears its needs-check flag on the device of its metadata', async () => {
  scratch.log.allow(...BROKEN)
  await onLinear(scratch, async ({ pool, metadataFile, breakMetadata, repairMetadata }) => {
    const loop = run('losetup', ['--noheadings', '--output', 'NAME', '--associated', metadataFile]).trim()
    breakMetadata(`0 8192 flakey ${loop} 0 0 3600 1 error_writes`)
    await expectCode(pool.setTransactionId({ currentId: 0n, newId: 1n }), 'DM_NOT_COMMITTED')
    const check = await pool.check()
    expect(check).toMatchObject({ state: 'needs-check', running: true })
    expect((await expectCode(pool.createVolume(SIZE), 'DM_POOL_READ_ONLY')).message).toContain('pool.repair()')
    repairMetadata()
    const repaired = await pool.repair({ deactivate: true })
    expect(repaired.by).toBe('flag')
    expect(dmStatus(pool.name)).toContain(' rw ')
    const volume = await (await repaired.pool.volume(0, { sizeBytes: 8 * MiB })).activate()
    expect(await seedOf(volume.path, 0, [1])).toBe(1)
  })
  thinCheck(scratch.path('metadata.img'))
})

test('repair() of a pool that has failed brings it back with its volumes', async () => {
  scratch.log.allow(...BROKEN)
  await onLinear(scratch, async ({ pool, volume, breakMetadata, repairMetadata }) => {
    breakMetadata('0 8192 error')
    await expect(writeBlock(volume.path, 20, 2)).rejects.toMatchObject({ code: 'EIO' })
    expect(await pool.check()).toMatchObject({ state: 'failed', running: true })
    expect((await expectCode(pool.createVolume(SIZE), 'DM_POOL_FAILED')).message).toContain('pool.repair()')
    repairMetadata()
    const repaired = await pool.repair({ deactivate: true })
    expect(await repaired.pool.status()).toMatchObject({ mode: 'rw' })
    const found = await (await repaired.pool.volume(0, { sizeBytes: 8 * MiB })).activate()
    expect(await seedOf(found.path, 0, [1])).toBe(1)
  })
  thinCheck(scratch.path('metadata.img'))
})

test('repair() of metadata on a block device writes to the device that is given, which must be blank', () =>
  atRest(async ({ record: _, ...options }, { metadataFile }) => {
    DAMAGE.bitmap(metadataFile)
    const damaged = readFileSync(metadataFile)
    const target = scratch.path('target.img')
    run('truncate', ['-s', '4M', target])
    const [from, to] = [metadataFile, target].map(file => run('losetup', ['--find', '--show', file]).trim())
    const onDevice = { ...options, metadata: { device: from! } }
    expect((await expectCode(ThinPool.repair(onDevice), 'DM_REPAIR_FAILED')).message).toContain('`to`')
    await expectCode(ThinPool.repair({ ...onDevice, to: from! }), 'DM_METADATA_NOT_BLANK')
    await expectCode(ThinPool.repair({ ...options, to: to! }), 'DM_BUSY') // the file is attached
    const repaired = await ThinPool.repair({ ...onDevice, to: to! })
    expect(repaired).toMatchObject({ by: 'thin_restore', metadata: { device: to }, original: from, lost: [] })
    await repaired.pool.remove()
    thinCheck(to!)
    for (const loop of [from!, to!]) run('losetup', ['--detach', loop])
    expect(readFileSync(metadataFile).equals(damaged)).toBe(true)
  }))
