// Scenario                                                  Test
// K  pattern stomper, snap and origin                       random writes to a snapshot and its origin
// K  space use doubles on full overwrite                    overwriting a snapshot …
// K  {ext4} overwrite, create-snap, break-sharing           snapshots of a mounted ext4 …
// C  write v1, snapshot, write v2; DevMapperUsage           snapshots of a mounted ext4 …
// D  filesystem (100 files, usage grows), snapshot_usage    snapshots of a mounted ext4 …; usage() has the figures of …
// K  parallel I/O to shared thins (6 writers)               six snapshots that are written …
// K  recursive snapshots with changes                       each snapshot of a chain has the blocks …
// K  thin_ls: live == offline, own count                    usage() has the figures of …
// containerd#2988 skip_block_zeroing                        unwritten parts of a new …
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { KiB, MiB, mount, type ThinPool, type ThinVolume, unmount, volumesOf } from '../../../lib/entry/index.js'
import { BLOCK, pattern, readAt, seedOf, writeAt, writeBlock } from '../../helpers/kernel/blocks.js'
import { markedLoops } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmMessage, thinUsageBy } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const SIZE = 4 * MiB
const BLOCKS = SIZE / BLOCK

const activated = async (pool: ThinPool, sizeBytes = SIZE) => (await pool.createVolume({ sizeBytes })).activate()
const usedBlocks = async (pool: ThinPool) => (await pool.status()).data!.usedBlocks

/** What a device must hold, block by block; stomped at places drawn from a seed. */
class Stomped {
  readonly seeds: (number | 'zero')[]

  constructor(seeds: readonly (number | 'zero')[] = Array<'zero'>(BLOCKS).fill('zero')) {
    this.seeds = [...seeds]
  }

  async stomp(volume: ThinVolume, share: number, seed: number): Promise<void> {
    let state = seed
    for (let left = Math.floor(BLOCKS * share); left > 0; left--) {
      state = (state * 1103515245 + 12345) % 2 ** 31
      const block = (state >>> 8) % BLOCKS
      await writeBlock(volume.path, block, seed + left)
      this.seeds[block] = seed + left
    }
  }

  async verify(volume: ThinVolume): Promise<void> {
    const content = await readAt(volume.path, 0, SIZE)
    for (const [block, seed] of this.seeds.entries()) {
      const expected = seed === 'zero' ? Buffer.alloc(BLOCK) : pattern(seed, BLOCK)
      const found = content.subarray(block * BLOCK, (block + 1) * BLOCK)
      if (!found.equals(expected)) throw new Error(`block ${block} of ${volume.name} is not that of ${seed}`)
    }
  }
}

describe.each(['snapshot', 'origin'])('random writes to a snapshot and its origin', stomped => {
  test(`leave the other side unchanged if they are made to the ${stomped}`, async () => {
    await withPool(async pool => {
      const origin = await activated(pool)
      const originHolds = new Stomped()
      await originHolds.stomp(origin, 0.2, 1000)
      const snapshot = await origin.snapshot({ activate: true })
      const snapshotHolds = new Stomped(originHolds.seeds)
      await snapshotHolds.verify(snapshot)
      const [target, holds] = stomped === 'origin' ? [origin, originHolds] : [snapshot, snapshotHolds]
      for (const round of [1, 2]) {
        await holds.stomp(target, 0.1, 2000 * round)
        await originHolds.verify(origin)
        await snapshotHolds.verify(snapshot)
      }
    })
  })
})

test('overwriting a snapshot allocates as many blocks again, and deleting the origin frees its own', async () => {
  await withPool(async pool => {
    const origin = await activated(pool)
    await writeAt(origin.path, 0, pattern(1, SIZE))
    expect(await usedBlocks(pool)).toBe(BLOCKS)
    const snapshot = await origin.snapshot({ activate: true })
    expect(await usedBlocks(pool)).toBe(BLOCKS)
    await writeAt(snapshot.path, 0, pattern(2, SIZE))
    expect(await usedBlocks(pool)).toBe(2 * BLOCKS)
    expect((await readAt(origin.path, 0, SIZE)).equals(pattern(1, SIZE))).toBe(true)
    await origin.destroy()
    expect(await usedBlocks(pool)).toBe(BLOCKS)
    expect((await readAt(snapshot.path, 0, SIZE)).equals(pattern(2, SIZE))).toBe(true)
  })
})

test('a write of a part of a shared block copies the rest of the block', async () => {
  await withPool(async pool => {
    const origin = await activated(pool)
    await writeBlock(origin.path, 3, 1)
    const snapshot = await origin.snapshot({ activate: true })
    await writeAt(snapshot.path, 3 * BLOCK + 8 * KiB, Buffer.alloc(4 * KiB, 0xaa))
    const expected = pattern(1, BLOCK)
    expected.fill(0xaa, 8 * KiB, 12 * KiB)
    expect((await readAt(snapshot.path, 3 * BLOCK, BLOCK)).equals(expected)).toBe(true)
    expect(await seedOf(origin.path, 3, [1])).toBe(1)
    expect(await usedBlocks(pool)).toBe(2)
  })
})

test('unwritten parts of a new block read as zeros, even if the block held data before', async () => {
  await withPool({ dataBytes: 4 * BLOCK, noDiscardPassdown: true }, async pool => {
    const old = await activated(pool, 4 * BLOCK)
    await writeAt(old.path, 0, pattern(1, 4 * BLOCK))
    await old.destroy()
    const volume = await activated(pool, 4 * BLOCK)
    await writeAt(volume.path, 4 * KiB, Buffer.alloc(4 * KiB, 0xaa))
    const expected = Buffer.alloc(BLOCK)
    expected.fill(0xaa, 4 * KiB, 8 * KiB)
    expect((await readAt(volume.path, 0, BLOCK)).equals(expected)).toBe(true)
  })
})

test('six snapshots that are written concurrently keep their own contents, and the origin its own', async () => {
  await withPool(async pool => {
    const origin = await activated(pool)
    await writeAt(origin.path, 0, pattern(1, MiB))
    const snapshots = volumesOf(await pool.activateMany(volumesOf(await pool.snapshotMany(origin, 6))))
    await Promise.all(snapshots.map((each, index) => writeAt(each.path, 0, pattern(10 + index, MiB))))
    for (const [index, each] of snapshots.entries()) {
      expect((await readAt(each.path, 0, MiB)).equals(pattern(10 + index, MiB))).toBe(true)
    }
    expect((await readAt(origin.path, 0, MiB)).equals(pattern(1, MiB))).toBe(true)
    expect(await usedBlocks(pool)).toBe(7 * 16)
  })
})

test('each snapshot of a chain has the blocks of all before it and its own', async () => {
  await withPool(async (pool, { metadataFile }) => {
    const layers = [await activated(pool)]
    for (let depth = 1; depth <= 8; depth++) {
      const layer = await layers.at(-1)!.snapshot({ activate: true })
      await writeBlock(layer.path, depth, depth)
      layers.push(layer)
    }
    for (const [depth, layer] of layers.entries()) {
      const seeds = await Promise.all([1, 4, 8].map(block => seedOf(layer.path, block, [block])))
      expect(seeds).toEqual([1, 4, 8].map(block => (block <= depth ? block : 'zero')))
    }
    await pool.deactivateMany(layers)
    const usage = await pool.usage()
    expect(usage.map(each => each.mappedBlocks)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
    expect(usage.map(each => each.exclusiveBlocks)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1])
    await pool.remove()
    expect(usage).toEqual(thinUsageBy(metadataFile))
  })
})

test('usage() has the figures of thin_ls for the running pool, after every change', async () => {
  await withPool({ metadataBytes: 8 * MiB }, async (pool, { name, metadataFile }) => {
    const device = markedLoops().find(loop => loop.file === metadataFile)!.name
    const compare = async () => {
      dmMessage(name, 'reserve_metadata_snap')
      const usage = await pool.usage()
      expect((await pool.status()).heldMetadataRoot).not.toBeNull()
      expect(usage).toEqual(thinUsageBy(device, '--metadata-snap'))
      dmMessage(name, 'release_metadata_snap')
      return usage
    }
    expect(await compare()).toEqual([])
    const origin = await activated(pool)
    await writeAt(origin.path, 0, pattern(1, MiB))
    expect(await compare()).toEqual([{ id: 0, mappedBlocks: 16, exclusiveBlocks: 16, sharedBlocks: 0 }])
    const [first] = volumesOf(await pool.activateMany(volumesOf(await pool.snapshotMany(origin, 3))))
    await writeAt(first!.path, 0, pattern(2, MiB / 2))
    expect(await compare()).toMatchObject([
      { id: 0, mappedBlocks: 16, exclusiveBlocks: 0, sharedBlocks: 16 },
      { id: 1, mappedBlocks: 16, exclusiveBlocks: 8, sharedBlocks: 8 },
      { id: 2, mappedBlocks: 16, sharedBlocks: 16 },
      { id: 3, mappedBlocks: 16, sharedBlocks: 16 },
    ])
    await origin.destroy()
    await compare()
    expect((await pool.volumes()).map(each => [each.id, each.active])).toEqual([
      [1, true],
      [2, true],
      [3, true],
    ])
  })
})

test('snapshots of a mounted ext4, and of a snapshot, each have their own files', async () => {
  await withPool(async pool => {
    const base = await activated(pool, 32 * MiB)
    run('mkfs.ext4', ['-q', base.path])
    const folder = (volume: ThinVolume) => scratch.path(volume.name)
    const mounted = async (volume: ThinVolume) => {
      mkdirSync(folder(volume))
      await mount({ source: volume.path, target: folder(volume), type: 'ext4' })
      return folder(volume)
    }
    const root = await mounted(base)
    writeFileSync(`${root}/id.txt`, 'base')
    const before = (await base.status()).mappedBytes!
    for (let file = 0; file < 100; file++) writeFileSync(`${root}/file-${file}`, pattern(file, 16 * KiB))
    const first = await base.snapshot({ activate: true })
    expect((await base.status()).mappedBytes).toBeGreaterThanOrEqual(before + 100 * 16 * KiB)
    const one = await mounted(first)
    expect(readdirSync(one).filter(name => name.startsWith('file-'))).toHaveLength(100)
    appendFileSync(`${one}/id.txt`, ' one')
    writeFileSync(`${one}/big`, pattern(7, MiB))

    const second = await first.snapshot({ activate: true })
    const two = await mounted(second)
    appendFileSync(`${two}/id.txt`, ' two')
    const texts = [root, one, two].map(each => readFileSync(`${each}/id.txt`, 'utf8'))
    expect(texts).toEqual(['base', 'base one', 'base one two'])
    expect(readFileSync(`${two}/big`).equals(pattern(7, MiB))).toBe(true)
    expect(readFileSync(`${two}/file-77`).equals(pattern(77, 16 * KiB))).toBe(true)

    for (const each of [two, one, root]) await unmount(each)
    for (const each of [base, first, second]) run('e2fsck', ['-fn', each.path])
    await pool.deactivateMany([base, first, second])
    const [, child] = await pool.usage()
    expect(child!.exclusiveBlocks + child!.sharedBlocks).toBe(child!.mappedBlocks)
    expect(child!.sharedBlocks).toBeGreaterThanOrEqual(MiB / BLOCK)
  })
})
