// Bookmark files that are damaged or forged: a typed error, or ranges that keep the rules of the format.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { hasCode } from '../../../lib/base/errors.js'
import { formatHeader } from '../../../lib/thin-metadata/bookmark/format.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { HEADER, randomRanges, readAll, write } from '../../helpers/metadata/bookmark-file.js'
import { imageDirectory } from '../../helpers/metadata/image.js'
import { run } from '../../helpers/process/spawned.js'
import { seeded } from '../../helpers/random/random.js'

const directory = imageDirectory()
afterAll(() => directory.remove())

const MiB = 2 ** 20
const DIGEST_BYTES = 32

/** Makes a file with a valid digest of any content. */
function sealed(file: string, ...parts: readonly Buffer[]): string {
  const content = Buffer.concat(parts)
  writeFileSync(file, Buffer.concat([content, createHash('sha256').update(content).digest()]))
  return file
}

function chunk(count: number, columns: Buffer, length?: number): Buffer {
  const body = deflateRawSync(columns)
  const header = Buffer.alloc(8)
  header.writeUInt32LE(count, 0)
  header.writeUInt32LE(length ?? body.length, 4)
  return Buffer.concat([header, body])
}

const END = Buffer.alloc(8)

describe('a damaged file is refused', () => {
  const damaged = async (file: string) =>
    expect(await expectCode(readAll(file), 'DM_BOOKMARK_INVALID')).toMatchObject({ detail: 'damaged', device: file })

  test('each bit of a small file, and each length', async () => {
    const file = directory.path('small')
    await write(file, randomRanges(seeded(3), 20))
    const whole = readFileSync(file)
    for (let at = 0; at < whole.length; at++) {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 1 << (at % 8)
      writeFileSync(file, bytes)
      const isVersion = at >= 8 && at < 12
      const fault = await expectCode(readAll(file), 'DM_BOOKMARK_INVALID')
      expect({ at, detail: fault.detail }).toEqual({ at, detail: isVersion ? 'version' : 'damaged' })
      writeFileSync(file, whole.subarray(0, at))
      await damaged(file)
    }
    writeFileSync(file, Buffer.concat([whole, Buffer.alloc(1)]))
    await damaged(file)
  })

  test.each<[string, Buffer[]]>([
    ['no chunk', []],
    ['no end', [chunk(1, Buffer.from([0, 0, 0, 0]))]],
    ['a chunk after the end', [END, chunk(1, Buffer.from([0, 0, 0, 0])), END]],
    ['too few numbers', [chunk(2, Buffer.from([0, 0, 0, 0])), END]],
    ['too many numbers', [chunk(1, Buffer.from([0, 0, 0, 0, 0])), END]],
    ['a number without an end', [chunk(1, Buffer.from([0, 0, 0, 0x80])), END]],
    ['a number of 56 bits', [chunk(1, Buffer.from([255, 255, 255, 255, 255, 255, 255, 127, 0, 0, 0])), END]],
    ['a number of 9 bytes', [chunk(1, Buffer.from([128, 128, 128, 128, 128, 128, 128, 128, 0, 0, 0, 0])), END]],
    ['a data block below 0', [chunk(1, Buffer.from([0, 0, 1, 0])), END]],
    ['a time below 0', [chunk(1, Buffer.from([0, 0, 0, 1])), END]],
    ['a time that is not older than the snapshot', [chunk(1, Buffer.from([0, 0, 0, 0xd0, 0x0f])), END]],
    ['a data block of 41 bits', [chunk(1, Buffer.from([0, 0, 128, 128, 128, 128, 128, 128, 1, 0])), END]],
    ['a chunk that is longer than the file', [chunk(1, Buffer.from([0, 0, 0, 0]), 10_000), END]],
    ['too many ranges', [chunk(8193, Buffer.alloc(4 * 8193)), END]],
    ['a chunk that is not compressed', [Buffer.from([1, 0, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255]), END]],
    ['a chunk that expands to a gigabyte', [chunk(8192, Buffer.alloc(64 * MiB)), END]],
  ])('%s, with a valid digest', async (name, parts) => {
    await damaged(sealed(directory.path(name), formatHeader(HEADER), ...parts))
  })

  test.each<[string, string]>([
    ['no JSON', '{'],
    ['null', 'null'],
    ['a list', '[]'],
    ['a missing field', JSON.stringify({ ...HEADER, start: undefined })],
    ['a number that is none', JSON.stringify({ ...HEADER, time: '5' })],
    ['a negative number', JSON.stringify({ ...HEADER, volume: -1 })],
    ['a huge header', JSON.stringify({ ...HEADER, pool: 'x'.repeat(5000) })],
  ])('a header with %s', async (name, text) => {
    const prefix = formatHeader(HEADER).subarray(0, 16)
    prefix.writeUInt32LE(text.length, 12)
    await damaged(sealed(directory.path(`header ${name}`), prefix, Buffer.from(text), END))
  })

  test('a folder, an empty file and a pipe', async () => {
    mkdirSync(directory.path('folder'))
    await damaged(directory.path('folder'))
    writeFileSync(directory.path('empty'), '')
    await damaged(directory.path('empty'))
    run('mkfifo', [directory.path('pipe')])
    await damaged(directory.path('pipe'))
  })
})

test('mutations of the content under a valid digest are refused, or read as ascending ranges', async () => {
  const file = directory.path('mutated')
  await write(file, randomRanges(seeded(11), 300))
  const whole = readFileSync(file)
  const begin = 16 + whole.readUInt32LE(12)
  const length = whole.readUInt32LE(begin + 4)
  const columns = inflateRawSync(whole.subarray(begin + 8, begin + 8 + length))
  const outcomes = { refused: 0, read: 0 }
  for (let seed = 1; seed <= 1000; seed++) {
    const random = seeded(seed)
    const isInside = random.chance(70)
    const bytes = Buffer.from(isInside ? columns : whole.subarray(0, -DIGEST_BYTES))
    for (let left = 1 + random.below(2); left > 0; left--) bytes[random.below(bytes.length)] = random.below(256)
    const count = random.chance(10) ? random.below(8193) : 300
    if (isInside) sealed(file, formatHeader(HEADER), chunk(count, bytes), END)
    else sealed(file, bytes)
    try {
      let end = 0
      const isValid = (await readAll(file)).every(({ begin: first, length: blocks, data, time }) => {
        const ascends = first >= end
        end = first + blocks
        return ascends && blocks > 0 && data >= 0 && time >= 0
      })
      expect({ seed, isValid }).toEqual({ seed, isValid: true })
      outcomes.read++
    } catch (fault) {
      if (!hasCode(fault, 'DM_BOOKMARK_INVALID')) throw new Error(`seed ${seed}`, { cause: fault })
      outcomes.refused++
    }
  }
  expect(outcomes.read).toBeGreaterThan(50)
  expect(outcomes.refused).toBeGreaterThan(100)
})

test('a newer version is refused by its number', async () => {
  const header = formatHeader(HEADER)
  header.writeUInt32LE(2, 8)
  const fault = await expectCode(readAll(sealed(directory.path('newer'), header, END)), 'DM_BOOKMARK_INVALID')
  expect(fault).toMatchObject({ detail: 'version' })
  expect(fault.message).toContain('version 2')
})
