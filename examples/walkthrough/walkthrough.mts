// The mechanism by which image layers were stored incrementally on device mapper, step by step: sparse files, loop
// devices, a thin pool, a base volume, snapshots of snapshots, and what each of them costs.
//
//   npm run demo               the whole story, everything removed at the end
//   npm run demo -- --keep     leave it standing, to look at
//   npm run demo -- --clean    remove what an earlier run left
//   npm run demo -- --no-image without the last chapter
import { appendFile, mkdir, open, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DmThinError, GiB, KiB, LoopDevice, mount, ThinPool, unmount, type ThinVolume } from 'dm-thin'
import { ext4 as format } from './format.mjs'
import { bytes, fileSizes, Ledger, note } from './ledger.mjs'
import { clean, findLeftovers, mountsBelow } from './leftovers.mjs'
import { tellOfImages } from './image.mjs'
import { drawLayers, drawTotals, type Layer } from './picture.mjs'

const POOL = 'walkthrough-pool'
const VOLUME_BYTES = 1 * GiB
const CHAIN = 32
const folder = path.join(tmpdir(), 'dm-thin-walkthrough')
const dataFile = path.join(folder, 'data.img')
const metadataFile = path.join(folder, 'metadata.img')
const files = [dataFile, metadataFile]
/** With those of the last chapter. */
const allFiles = [...files, path.join(folder, 'store/data.img'), path.join(folder, 'store/metadata.img')]
const keep = process.argv.includes('--keep')

const volumeName = (id: number): string => `walkthrough-volume-${String(id + 1).padStart(3, '0')}`
const mountPoint = (id: number): string => path.join(folder, volumeName(id))

async function mountVolume(volume: ThinVolume): Promise<string> {
  const target = mountPoint(volume.id)
  await mkdir(target, { recursive: true })
  await mount({ source: volume.path, target, type: 'ext4', noAtime: true, data: 'noinit_itable' })
  return target
}

/** Writes through to the pool, so that the blocks are counted in the step that wrote them. */
async function flush(folder: string): Promise<void> {
  const handle = await open(folder)
  await handle.sync()
  await handle.close()
}

async function show(volume: ThinVolume): Promise<void> {
  const target = mountPoint(volume.id)
  const names = (await readdir(target)).filter(name => name !== 'lost+found').sort()
  const lines = (await readFile(path.join(target, 'id.txt'), 'utf8')).trimEnd().split('\n')
  note(`${volume.name.padEnd(24)} ${names.join(' ').padEnd(32)} id.txt: ${lines.join(' | ')}`)
}

async function makeSparse(file: string, sizeBytes: number): Promise<void> {
  const handle = await open(file, 'wx')
  await handle.truncate(sizeBytes)
  await handle.close()
}

async function tell(): Promise<void> {
  const ledger = new Ledger(files)
  await mkdir(folder, { recursive: true })
  ledger.heading()

  await ledger.step('two sparse files: data 10 GiB + 1 KiB, metadata 1 GiB', async () => {
    await makeSparse(dataFile, 10 * GiB + 1 * KiB)
    await makeSparse(metadataFile, 1 * GiB)
  })
  const { apparentBytes, onDiskBytes } = await fileSizes(files)
  note(`they look like ${bytes(apparentBytes)} and take ${bytes(onDiskBytes)}`)

  const [data, metadata] = await ledger.step('attached to loop devices', () =>
    Promise.all([LoopDevice.attach({ file: dataFile }), LoopDevice.attach({ file: metadataFile })]),
  )
  note(`${data.path} is ${dataFile}, ${metadata.path} is ${metadataFile}`)

  const pool = await ledger.step('a thin pool on the two', () =>
    ThinPool.create({
      name: POOL,
      data: { device: data.path },
      metadata: { device: metadata.path },
      lowWaterMarkBlocks: 65536,
      skipBlockZeroing: true,
    }),
  )
  note(`0 20971522 thin-pool ${metadata.path} ${data.path} 128 65536 1 skip_block_zeroing`)
  await ledger.follow(pool)

  const base = await ledger.step('create_thin 0, activated as a block device of 1 GiB', async () => {
    const volume = await pool.createVolume({ id: 0, sizeBytes: VOLUME_BYTES, name: volumeName(0) })
    return volume.activate()
  })
  note(`${base.name} is ${base.path}`)

  await ledger.step('an ext4 file system on it (mkfs.ext4, the only child process)', () => format(base.path))
  await ledger.step('mounted; id.txt written: "hello world, I am a base"', async () => {
    const target = await mountVolume(base)
    await writeFile(path.join(target, 'id.txt'), 'hello world, I am a base\n')
    await flush(path.join(target, 'id.txt'))
  })

  const snap1 = await ledger.step('snapshot 1 of the mounted volume 0 (suspend, create_snap 1 0, resume)', () =>
    base.snapshot({ id: 1, name: volumeName(1), activate: true }),
  )
  await ledger.step('snapshot 1 mounted, one line appended, snap1.txt written', async () => {
    const target = await mountVolume(snap1)
    await appendFile(path.join(target, 'id.txt'), 'I am snap1\n')
    await writeFile(path.join(target, 'snap1.txt'), 'only in snap1 and what comes of it\n')
    await flush(path.join(target, 'snap1.txt'))
  })
  await show(base)
  await show(snap1)

  const snap2 = await ledger.step('snapshot 2 of the mounted snapshot 1', async () => {
    const volume = await snap1.snapshot({ id: 2, name: volumeName(2), activate: true })
    const target = await mountVolume(volume)
    await appendFile(path.join(target, 'id.txt'), 'I am snap2\n')
    await flush(path.join(target, 'id.txt'))
    return volume
  })
  for (const volume of [base, snap1, snap2]) await show(volume)

  const chain = [snap2]
  const snapshotTimes: number[] = []
  for (let depth = 3; depth < 3 + CHAIN; depth++) {
    const title = `generation ${depth}: a snapshot of the last one, mounted, one write`
    const link = await ledger.step(title, () => addGeneration(chain.at(-1)!, depth))
    chain.push(link.volume)
    snapshotTimes.push(link.snapshotMs)
  }
  const median = (times: number[]): string => times.sort((a, b) => a - b)[times.length >> 1]!.toFixed(1)
  const [early, late] = [median(snapshotTimes.slice(0, 8)), median(snapshotTimes.slice(-8))]
  note(`snapshot + activation, median: ${early} ms for the first eight of the chain, ${late} ms for the last eight`)
  await showDepth(chain.at(-1)!)

  const layers: Layer[] = [
    { title: 'base', id: 0 },
    { title: '└ snap1', id: 1 },
    ...chain.map((volume, index) => ({
      title: `${index === 0 ? ' └ snap2' : `  └ gen. ${volume.id}`}`,
      id: volume.id,
    })),
  ]
  drawLayers(layers, await pool.usage())
  const { data: space } = await pool.status()
  if (space) drawTotals(layers.length, VOLUME_BYTES, space, await fileSizes(files))
  await pool.close()
}

async function addGeneration(last: ThinVolume, depth: number): Promise<{ volume: ThinVolume; snapshotMs: number }> {
  const started = performance.now()
  const volume = await last.snapshot({ id: depth, name: volumeName(depth), activate: true })
  const snapshotMs = performance.now() - started
  const file = path.join(await mountVolume(volume), `generation-${depth}.txt`)
  await writeFile(file, `written at depth ${depth}\n`)
  await flush(file)
  return { volume, snapshotMs }
}

async function showDepth(deepest: ThinVolume): Promise<void> {
  const names = await readdir(mountPoint(deepest.id))
  note(`the deepest generation sees all ${names.length - 1} files of the chain, back to the base`)
}

async function takeDown(): Promise<void> {
  const ledger = new Ledger(files)
  await ledger.follow(undefined)
  console.log('\ntaking it down')
  const mounts = mountsBelow(folder)
  await ledger.step(`unmounted ${mounts.length} file systems`, async () => {
    for (const point of mounts) await unmount(point)
  })
  await ledger.step('volumes deactivated at once, pool removed, loop devices detached', () =>
    clean(folder, POOL, allFiles),
  )
  await ledger.step('files deleted', () => rm(folder, { recursive: true, force: true }))
  const left = await findLeftovers(folder, POOL, allFiles)
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`)
  console.log('looked for mounts, mapped devices, loop devices and files: nothing is left')
}

function sayHowToLook(): void {
  console.log(`
kept, as asked. To look at it:
  dmsetup ls --tree; dmsetup table; dmsetup status ${POOL}
  losetup --list; ls -ls ${folder}
  cat ${folder}/*/id.txt
to remove it:
  npm run demo -- --clean`)
}

function imageGiven(): string | undefined {
  const at = process.argv.indexOf('--image')
  return at < 0 ? undefined : process.argv[at + 1]
}

async function main(): Promise<void> {
  if (process.argv.includes('--clean')) return takeDown()
  const left = await findLeftovers(folder, POOL, allFiles)
  if (left.length > 0) {
    console.error(`an earlier run left: ${left.join(', ')}\nremove it first: npm run demo -- --clean`)
    process.exitCode = 1
    return
  }
  const interrupted = () => void takeDown().finally(() => process.exit(130))
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  try {
    await tell()
  } catch (fault) {
    console.error(fault instanceof DmThinError ? `${fault.code}: ${fault.message}` : fault)
    process.exitCode = 1
  }
  if (keep) return sayHowToLook()
  if (process.exitCode === undefined && !process.argv.includes('--no-image')) {
    await tellOfImages(folder, POOL, imageGiven()).catch((fault: unknown) => {
      console.error(fault instanceof DmThinError ? `${fault.code}: ${fault.message}` : fault)
      process.exitCode = 1
    })
  }
  await takeDown()
}

await main()
