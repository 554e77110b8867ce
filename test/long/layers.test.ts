// Scenario                                                  Test
// C  128LayersMount; M DeepLayerRead, DiffApply             128 layers on ext4 each change …
// C  LayerFileUpdate, DeletedFilesInChild, MoveFileFromLowerLayer, Rename, RemoveDirectoryInLowerLayer, Chown,
//    DirectoryPermissionOnCommit, RootPermission            128 layers on ext4 each change …
// C  RemoveIntermediateSnapshot (here it may go)            128 layers on ext4 each change …
// K  pattern-stomper, for long; many-snaps-with-changes     a random history of writes …
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { KiB, MiB, mount, type ThinPool, type ThinVolume, unmount, volumesOf } from '../../lib/entry/index.js'
import { BLOCK, pattern, readAt, writeBlock } from '../helpers/kernel/blocks.js'
import { atRest, idsOf, range } from '../helpers/long/report.js'
import { withPool } from '../helpers/pool/pools.js'
import { seeded, type Random } from '../helpers/random/random.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { run } from '../helpers/process/spawned.js'

const scratch = useScratch()
const LAYERS = 128

test('128 layers on ext4 each change files of their parents, the last has all changes, and a middle one can be deleted', async () => {
  await withPool({ dataBytes: 256 * MiB, metadataBytes: 16 * MiB }, async pool => {
    const target = scratch.path('layer')
    mkdirSync(target)
    const inside = async (volume: ThinVolume, body: (root: string) => void) => {
      await volume.activate()
      await mount({ source: volume.path, target, type: 'ext4' })
      body(target)
      await unmount(target)
      await volume.deactivate()
    }
    const base = await (await pool.createVolume({ sizeBytes: 64 * MiB })).activate()
    run('mkfs.ext4', ['-q', base.path])
    await base.deactivate()
    const layers = [base]
    for (const layer of range(LAYERS)) {
      const volume = layer === 0 ? base : await layers[layer - 1]!.snapshot()
      if (layer > 0) layers.push(volume)
      await inside(volume, root => changeLayer(root, layer))
    }
    await inside(layers.at(-1)!, root => expectLayer(root, LAYERS - 1))
    await inside(layers[50]!, root => expectLayer(root, 50))
    for (const volume of layers.slice(1, -1)) if (volume !== layers[50]) await volume.delete()
    await inside(layers.at(-1)!, root => expectLayer(root, LAYERS - 1))
    await inside(layers[50]!, root => expectLayer(root, 50))
    await layers.at(-1)!.activate()
    run('e2fsck', ['-fn', layers.at(-1)!.path])
  })
})

/** A new file; the one before is moved, the one before that deleted; one grows; a folder comes, and the last one goes. */
function changeLayer(root: string, layer: number): void {
  writeFileSync(`${root}/new-${layer}`, pattern(layer, 16 * KiB))
  appendFileSync(`${root}/all`, `${layer}\n`)
  if (layer > 0) {
    renameSync(`${root}/new-${layer - 1}`, `${root}/moved-${layer - 1}`)
    rmSync(`${root}/folder-${layer - 1}`, { recursive: true })
  }
  if (layer > 1) rmSync(`${root}/moved-${layer - 2}`)
  mkdirSync(`${root}/folder-${layer}`)
  writeFileSync(`${root}/folder-${layer}/inner`, `${layer}`)
  chownSync(`${root}/all`, layer, layer + 1)
  chmodSync(`${root}/folder-${layer}`, 0o700 | (layer % 8))
  chmodSync(root, 0o711)
}

function expectLayer(root: string, layer: number): void {
  const names = ['all', `folder-${layer}`, 'lost+found', `moved-${layer - 1}`, `new-${layer}`]
  expect(readdirSync(root).sort()).toEqual(names.sort())
  expect(readFileSync(`${root}/all`, 'utf8')).toBe(
    range(layer + 1)
      .map(each => `${each}\n`)
      .join(''),
  )
  expect(readFileSync(`${root}/new-${layer}`).equals(pattern(layer, 16 * KiB))).toBe(true)
  expect(readFileSync(`${root}/moved-${layer - 1}`).equals(pattern(layer - 1, 16 * KiB))).toBe(true)
  expect(readFileSync(`${root}/folder-${layer}/inner`, 'utf8')).toBe(`${layer}`)
  expect(existsSync(`${root}/folder-${layer - 1}`)).toBe(false)
  const { uid, gid } = statSync(`${root}/all`)
  expect({ uid, gid }).toEqual({ uid: layer, gid: layer + 1 })
  expect([statSync(`${root}/folder-${layer}`).mode & 0o777, statSync(root).mode & 0o777]).toEqual([
    0o700 | (layer % 8),
    0o711,
  ])
}

const BLOCKS = 32
const SIZE = BLOCKS * BLOCK

interface Held {
  readonly volume: ThinVolume
  /** What each block must hold: a seed, or 0 for zeros. */
  readonly seeds: number[]
}

test('a random history of writes, snapshots and deletions leaves every volume with its expected contents', async () => {
  const random = seeded(20)
  await withPool({ dataBytes: 256 * MiB, metadataBytes: 16 * MiB }, async (first, files) => {
    let pool = first
    let held: Held[] = [await made(pool)]
    let seed = 0
    for (const step of range(2000)) {
      const one = random.pick(held)
      const lot = random.integer(0, 9)
      if (lot < 6) await writeSome(one, random, () => ++seed)
      else if (lot < 8 && held.length < 60) held.push({ volume: await one.volume.snapshot(), seeds: [...one.seeds] })
      else if (lot === 8 && held.length < 60) held.push(await made(pool))
      else if (held.length > 30) {
        await one.volume.destroy()
        held = held.filter(each => each !== one)
      }
      if (step % 100 === 99) await expectHeld(random.pick(held))
      if (step % 500 !== 499) continue
      await pool.deactivateMany(held.map(({ volume }) => volume)).then(volumesOf)
      const [again, counted] = await atRest(pool, files)
      pool = again
      expect(counted.map(({ id }) => id)).toEqual(held.map(({ volume }) => volume.id).sort((a, b) => a - b))
      expect(await pool.usage()).toEqual(counted)
      const volumes = await Promise.all(held.map(({ volume }) => again.volume(volume.id, { sizeBytes: SIZE })))
      held = held.map(({ seeds }, at) => ({ volume: volumes[at]!, seeds }))
    }
    for (const each of held) await expectHeld(each)
    const versions = new Set(held.flatMap(({ seeds }) => seeds.flatMap((each, at) => (each ? [`${at} ${each}`] : []))))
    expect((await pool.status()).data!.usedBlocks).toBe(versions.size)
    expect(await idsOf(pool)).toHaveLength(held.length)
  })
})

async function made(pool: ThinPool): Promise<Held> {
  return { volume: await pool.createVolume({ sizeBytes: SIZE }), seeds: range(BLOCKS).map(() => 0) }
}

async function writeSome({ volume, seeds }: Held, random: Random, next: () => number): Promise<void> {
  if (!volume.active) await volume.activate()
  for (let left = random.integer(1, 4); left > 0; left--) {
    const block = random.integer(0, BLOCKS - 1)
    seeds[block] = next()
    await writeBlock(volume.path, block, seeds[block])
  }
  if (random.boolean()) await volume.deactivate()
}

async function expectHeld({ volume, seeds }: Held): Promise<void> {
  const wasActive = volume.active
  if (!wasActive) await volume.activate()
  const content = await readAt(volume.path, 0, SIZE)
  const wrong = range(BLOCKS).filter(block => {
    const expected = seeds[block] === 0 ? Buffer.alloc(BLOCK) : pattern(seeds[block]!, BLOCK)
    return !content.subarray(block * BLOCK, (block + 1) * BLOCK).equals(expected)
  })
  expect({ id: volume.id, wrong }).toEqual({ id: volume.id, wrong: [] })
  if (!wasActive) await volume.deactivate()
}
