// The memory of a reader does not depend on the number of mappings: a process that reads 10 million of them needs as much
// as one that reads ten thousand.
import { closeSync, openSync, rmSync, truncateSync, writeSync } from 'node:fs'
import path from 'node:path'
import { MiB } from '../../lib/entry/index.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { keepFigures } from '../helpers/long/report.js'
import { runChild } from '../helpers/process/children.js'
import { run } from '../helpers/process/spawned.js'

const scratch = useScratch()
const RUN = 10
const METADATA = JSON.stringify(path.join(__dirname, '../../dist/entry/metadata.js'))

/** Makes metadata with `thin_restore`: volume 1 in runs of 10 blocks whose data is in the opposite order, 2 of one block. */
function imageOf(mappings: number): string {
  const [file, xml] = [scratch.path(`of-${mappings}`), scratch.path(`of-${mappings}.xml`)]
  const out = openSync(xml, 'w')
  const device = (id: number, mapped: number) =>
    `<device dev_id="${id}" mapped_blocks="${mapped}" transaction="0" creation_time="0" snap_time="0">\n`
  const range = (virtual: number, data: number, length: number) =>
    `<range_mapping origin_begin="${virtual}" data_begin="${data}" length="${length}" time="0"/>\n`
  writeSync(
    out,
    `<superblock uuid="" time="0" transaction="0" version="2" data_block_size="128" nr_data_blocks="${mappings + 1}">\n`,
  )
  writeSync(out, device(1, mappings))
  for (let at = 0; at < mappings;) {
    const lines: string[] = []
    for (; at < mappings && lines.length < 10_000; at += RUN) lines.push(range(at, mappings - at - RUN, RUN))
    writeSync(out, lines.join(''))
  }
  writeSync(out, `</device>\n${device(2, 1)}${range(0, mappings, 1)}</device>\n</superblock>\n`)
  closeSync(out)
  closeSync(openSync(file, 'w'))
  truncateSync(file, 16 * MiB + mappings * 40)
  run('thin_restore', ['--quiet', '-i', xml, '-o', file])
  rmSync(xml)
  return file
}

/** Returns the largest resident memory, in MiB, of a process that reads all of a file, and the blocks that it saw. */
async function reading(file: string): Promise<{ peakMiB: number; mappings: number; delta: number }> {
  const answer = await runChild(`
    require('node:v8').setFlagsFromString('--expose-gc')
    const collectGarbage = require('node:vm').runInNewContext('gc')
    const { ThinMetadata } = require(${METADATA})
    // What the collector has not taken yet is not needed: V8 lets 64 MiB of buffers that were read gather.
    let ranges = 0
    const count = () => { if (++ranges % 50_000 === 0) collectGarbage() }
    const metadata = await ThinMetadata.open(${JSON.stringify(file)})
    let mappings = 0
    for await (const { length } of metadata.mappings(1)) { mappings += length; count() }
    let delta = 0
    for await (const { length } of metadata.delta(1, 2)) { delta += length; count() }
    await metadata.close()
    return { peakMiB: Math.round(process.resourceUsage().maxRSS / 1024), mappings, delta }`)
  return (answer as { value: { peakMiB: number; mappings: number; delta: number } }).value
}

test('a process that reads 10 million mappings needs as much memory as one that reads ten thousand', async () => {
  const peaks: Record<string, number> = {}
  for (const mappings of [10_000, 1_000_000, 10_000_000]) {
    const file = imageOf(mappings)
    const read = await reading(file)
    expect(read).toMatchObject({ mappings, delta: mappings })
    peaks[`peak with ${mappings} mappings, MiB`] = read.peakMiB
    rmSync(file)
  }
  keepFigures('metadata-memory', [peaks])
  const [small = 0, , large = 0] = Object.values(peaks)
  expect(large).toBeLessThan(small + 24)
})

/** Writes a bookmark of this many ranges and compares it with the same ranges, in a process of its own. */
async function comparing(mappings: number): Promise<{ peakMiB: number; bytes: number; changes: number }> {
  const internal = JSON.stringify(path.join(__dirname, '../tools/runner/modules.cjs'))
  const answer = await runChild(`
    require('node:v8').setFlagsFromString('--expose-gc')
    const collectGarbage = require('node:vm').runInNewContext('gc')
    const { writeBookmark, BookmarkFile } = require(${internal})('lib/pool/bookmark/file.ts')
    const { changedRanges } = require(${internal})('lib/pool/bookmark/compare.ts')
    async function* ranges() {
      for (let at = 0; at < ${mappings}; at++) {
        if (at % 50_000 === 0) collectGarbage()
        yield { begin: 3 * at, length: 1, data: ((at % 65521) ** 2 * 31) % 2 ** 28, time: at % 16 }
      }
    }
    const counts = { volume: 1, creationTime: 0, mappedBlocks: 0, time: 99, snapshottedTime: 99, dataBlockBytes: 65536 }
    const header = { pool: 'p', start: 's', transactionId: '0', ...counts }
    const file = ${JSON.stringify(scratch.path('bookmark'))}
    const bytes = await writeBookmark(file, header, ranges())
    const opened = await BookmarkFile.open(file)
    let changes = 0
    for await (const _ of changedRanges(opened.ranges(), ranges())) changes++
    await opened.close()
    return { peakMiB: Math.round(process.resourceUsage().maxRSS / 1024), bytes, changes }`)
  return (answer as { value: { peakMiB: number; bytes: number; changes: number } }).value
}

test('a process that saves and compares 10 million mappings needs as much memory as one with a million', async () => {
  const peaks: Record<string, number> = {}
  for (const mappings of [1_000_000, 10_000_000]) {
    const { peakMiB, bytes, changes } = await comparing(mappings)
    expect(changes).toBe(0)
    expect(bytes).toBeGreaterThan(mappings)
    peaks[`peak with ${mappings} mappings saved, MiB`] = peakMiB
  }
  keepFigures('bookmark-memory', [peaks])
  const [small = 0, large = 0] = Object.values(peaks)
  expect(large).toBeLessThan(small + 24)
})
