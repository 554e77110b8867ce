// Shows the four operations that docs/how-it-works.md follows through the kernel, and what each changes in the pool.
// Needs root, dmsetup and thin_dump (package thin-provisioning-tools).
import { execSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { BlockDevice, KiB, LoopDevice, MiB, ThinPool, type ThinVolume } from 'dm-thin'
import { inFolder } from '../scratch.mjs'
import { readCounts } from './space-map.mjs'

const POOL = 'how-it-works'
const BLOCK = 64 * KiB

const step = (title: string) => console.log(`\n# ${title}`)
const run = (command: string) => execSync(command, { encoding: 'utf8' }).trim()

/** Runs a command, and shows it and its output. */
function show(command: string): void {
  const printed = run(command)
  console.log(`$ ${command}${printed === '' ? '' : `\n${printed}`}`)
}

/** Shows all mappings. Uses a metadata snapshot, because thin_dump refuses the metadata device of a running pool. */
function showMappings(metadataDevice: string): void {
  show(`dmsetup message ${POOL} 0 reserve_metadata_snap`)
  show(`thin_dump --metadata-snap ${metadataDevice}`)
  show(`dmsetup message ${POOL} 0 release_metadata_snap`)
}

/** Shows the reference counts of the first data blocks, and which volumes have the same root node. */
async function showCounts(metadataDevice: string, blocks: number): Promise<void> {
  const { data, roots } = await readCounts(metadataDevice)
  const counts = data.slice(0, blocks).map((count, block) => `${block}: ${count}`)
  console.log(`references of data blocks   ${counts.join('  ')}`)
  const letters = [...new Set([...roots.values()].map(({ node }) => node))]
  const named = [...roots].map(([id, { node, references }]) => {
    return `thin ${id}: node ${'ABC'[letters.indexOf(node)]} (${references})`
  })
  console.log(`roots and their references  ${named.join('  ')}`)
}

/** Returns what the pool device has written and discarded so far, in sectors of 512 bytes. */
function sectorsOfPool(): { readonly written: number; readonly discarded: number } {
  const device = run(`dmsetup info --columns --noheadings --separator : -o major,minor ${POOL}`)
  const fields = readFileSync(`/sys/dev/block/${device}/stat`, 'utf8').trim().split(/\s+/).map(Number)
  return { written: fields[6]!, discarded: fields[13]! }
}

/** Runs `body`, commits the pool, and shows what the pool device wrote and discarded meanwhile. */
async function measured(pool: ThinPool, what: string, body: () => Promise<void>): Promise<void> {
  const before = sectorsOfPool()
  await body()
  await pool.commit()
  const after = sectorsOfPool()
  console.log(what)
  console.log(`written ${after.written - before.written}, discarded ${after.discarded - before.discarded} sectors`)
}

const write = (pool: ThinPool, volume: ThinVolume, offsetBytes: number, lengthBytes: number) =>
  measured(pool, `thin ${volume.id}: write(${offsetBytes}, ${lengthBytes} bytes)`, async () => {
    await using device = await BlockDevice.open(volume.path)
    await device.write(offsetBytes, Buffer.alloc(lengthBytes, 'x'))
  })

const discard = (pool: ThinPool, volume: ThinVolume, offsetBytes: number, lengthBytes: number) =>
  measured(pool, `thin ${volume.id}: discard(${offsetBytes}, ${lengthBytes} bytes)`, async () => {
    await using device = await BlockDevice.open(volume.path)
    await device.discard({ offsetBytes, lengthBytes })
  })

await inFolder(POOL, async folder => {
  const metadataFile = path.join(folder, 'metadata.img')
  const pool = await ThinPool.create({
    name: POOL,
    data: { file: path.join(folder, 'data.img'), sizeBytes: 64 * MiB },
    metadata: { file: metadataFile, sizeBytes: 16 * MiB },
    dataBlockBytes: BLOCK,
  })
  try {
    const metadata = (await LoopDevice.list()).find(loop => loop.file === metadataFile)!.path

    step('A pool and a volume')
    const origin = await pool.createVolume({ id: 0, sizeBytes: 1 * MiB })
    await origin.activate()
    show(`dmsetup table ${POOL}`)
    show(`dmsetup table ${POOL}-0`)
    showMappings(metadata)

    step('1. A write to a fresh block: 4 KiB, then a whole block')
    await write(pool, origin, 0 * BLOCK, 4 * KiB)
    await write(pool, origin, 1 * BLOCK, BLOCK)
    show(`dmsetup status ${POOL}-0`)
    show(`dmsetup status ${POOL}`)
    showMappings(metadata)
    await showCounts(metadata, 2)

    step('2. A snapshot')
    show(`dmsetup message ${POOL} 0 set_transaction_id 0 1`)
    const copy = await origin.snapshot({ id: 1 })
    showMappings(metadata)
    await showCounts(metadata, 2)

    step('3. A write to a shared block: 4 KiB, then a whole block')
    await write(pool, origin, 0 * BLOCK, 4 * KiB)
    await showCounts(metadata, 3)
    await write(pool, origin, 1 * BLOCK, BLOCK)
    await showCounts(metadata, 4)
    showMappings(metadata)

    step(
      '3a. A write to the same block of the snapshot: its data block is no longer shared, and is copied all the same',
    )
    await copy.activate()
    await write(pool, copy, 0 * BLOCK, 4 * KiB)
    await showCounts(metadata, 5)

    step('3b. The same write again, in place')
    await write(pool, copy, 0 * BLOCK, 4 * KiB)
    await showCounts(metadata, 5)

    step('4. A discard: half a block, a block, a shared block')
    await discard(pool, origin, 1 * BLOCK, BLOCK / 2)
    await discard(pool, origin, 1 * BLOCK, BLOCK)
    await showCounts(metadata, 5)
    show(`dmsetup suspend ${POOL}-1`)
    show(`dmsetup message ${POOL} 0 create_snap 2 1`)
    show(`dmsetup resume --noudevsync ${POOL}-1`)
    await discard(pool, copy, 0 * BLOCK, BLOCK)
    await showCounts(metadata, 5)
    showMappings(metadata)

    step('4a. The last volume that maps the block is deleted')
    await (await pool.volume(2)).delete()
    await showCounts(metadata, 5)
    show(`dmsetup status ${POOL}`)
  } finally {
    await pool.remove({ deactivate: true })
  }
})
