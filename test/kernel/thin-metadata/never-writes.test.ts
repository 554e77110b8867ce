// Readers of metadata under strace: they open it for reading alone, and no call writes to it.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { MiB, type ThinPool } from '../../../lib/entry/index.js'
import { BLOCK, writeBlock } from '../../helpers/kernel/blocks.js'
import { dmTable } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { withPool } from '../../helpers/pool/pools.js'
import { runChild } from '../../helpers/process/children.js'

const scratch = useScratch()
const METADATA = JSON.stringify(path.join(__dirname, '../../../dist/entry/metadata.js'))
const OPENING = ['open', 'openat', 'openat2', 'creat']
const WRITING = ['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'fallocate', 'ftruncate', 'io_submit', 'mmap']

/** Opens `source`, an expression, and reads everything that `read` names. Returns the calls that name the metadata. */
async function traced(source: string, read: string, metadata: string): Promise<string[]> {
  const log = scratch.path('strace')
  const calls = [...OPENING, ...WRITING].join(',')
  const strace = ['strace', '-f', '-qq', '-y', '-s', '256', '-e', `trace=${calls}`, '-e', 'signal=none', '-o', log]
  const body = `
    const { ThinMetadata } = require(${METADATA})
    const metadata = await ThinMetadata.open(${source})
    let ranges = 0
    for await (const _ of metadata.mappings(0)) ranges++
    for await (const _ of metadata.delta(0, 1)) ranges++
    ${read}
    await metadata.close()
    return ranges`
  expect(await runChild(body, strace)).toEqual({ value: 3 })
  const lines = readFileSync(log, 'utf8').split('\n')
  expect(lines.length).toBeGreaterThan(100)
  return lines.filter(line => line.includes(metadata))
}

function expectReadOnly(calls: readonly string[]): void {
  const opened = calls.filter(line => /\bopen/.test(line) && !/ = -1 /.test(line))
  expect(opened.length).toBeGreaterThan(0)
  expect(opened.filter(line => !/O_RDONLY/.test(line) || /O_WRONLY|O_RDWR|O_CREAT|O_TRUNC/.test(line))).toEqual([])
  // A mapping of a file is read-only, or private.
  const writing = new RegExp(`^\\d+ +(${WRITING.filter(name => name !== 'mmap').join('|')})\\(`)
  expect(calls.filter(line => writing.test(line))).toEqual([])
  expect(calls.filter(line => /^\d+ +mmap\(/.test(line) && /PROT_WRITE.*MAP_SHARED/.test(line))).toEqual([])
}

/** Two snapshots, of which the second has one block more and one block changed. */
async function fill(pool: ThinPool): Promise<void> {
  const origin = await (await pool.createVolume({ sizeBytes: MiB, id: 9 })).activate()
  for (const [id, blocks] of [
    [0, [0, 1]],
    [1, [1, 2]],
  ] as const) {
    for (const block of blocks) await writeBlock(origin.path, block, id + 1)
    await origin.snapshot({ id })
  }
  expect(BLOCK).toBe(pool.dataBlockBytes)
  await origin.deactivate()
}

const REST = `
    await metadata.usage()
    await metadata.check()
    for await (const _ of metadata.dump()) { /* read */ }`

test('the metadata of a running pool is opened for reading alone, with a reservation and without', async () => {
  await withPool(async (pool, { name }) => {
    await fill(pool)
    const device = `/dev/loop${dmTable(name).split(' ')[3]!.slice(2)}`
    const source = `await dmThin.ThinPool.open(${JSON.stringify(name)})`
    const file = JSON.stringify(scratch.path('bookmark'))
    const bookmark = `
    await metadata.bookmark(0, ${file})
    for await (const _ of metadata.changedSince(${file}, 1)) { /* read */ }`
    expectReadOnly(await traced(source, REST + bookmark, device))
    expectReadOnly(await traced(`${source}, { reserve: false }`, bookmark, device))
  })
})

test('a file is opened for reading alone, and has the same digest afterwards', async () => {
  await withPool(async (pool, { metadataFile }) => {
    await fill(pool)
    await pool.remove()
    const digest = () => createHash('sha256').update(readFileSync(metadataFile)).digest('hex')
    const before = digest()
    expectReadOnly(await traced(JSON.stringify(metadataFile), REST, metadataFile))
    expect(digest()).toBe(before)
  })
})
