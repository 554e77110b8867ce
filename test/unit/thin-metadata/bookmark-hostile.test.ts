// Bookmark files that are damaged or forged: a typed error, or ranges that keep the rules of the format.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { hasCode } from '../../../lib/base/errors.js'
import { formatHeader } from '../../../lib/pool/bookmark/format.js'
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

/** Makes a column of differences, which are compressed, or of anything else. */
function column(
  content: Buffer,
  { coding = 0, width = 0, lowest = 0, length = content.length, raw = false } = {},
): Buffer {
  const body = raw ? content : deflateRawSync(content)
  const header = Buffer.alloc(16)
  header.writeUInt8(coding, 0)
  header.writeUInt8(width, 1)
  header.writeUInt32LE(raw ? length : body.length, 4)
  header.writeBigUInt64LE(BigInt(lowest), 8)
  return Buffer.concat([header, body])
}

function chunkOf(count: number, body: Buffer, length = body.length): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(count, 0)
  header.writeUInt32LE(length, 4)
  return Buffer.concat([header, body])
}

/** Makes a chunk of four columns of differences. */
const chunk = (count: number, columns: readonly (readonly number[])[], length?: number): Buffer =>
  chunkOf(count, Buffer.concat(columns.map(bytes => column(Buffer.from(bytes)))), length)

/** Makes a chunk of one range whose last column is this. */
const ending = (...last: readonly Buffer[]): Buffer =>
  chunkOf(1, Buffer.concat([...[0, 1, 2].map(() => column(Buffer.from([0]))), ...last]))

const packed = (bytes: readonly number[], options: { width: number; lowest?: number; length?: number }): Buffer =>
  column(Buffer.from(bytes), { coding: 1, raw: true, ...options })

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
    ['no end', [chunk(1, [[0], [0], [0], [0]])]],
    ['a chunk after the end', [END, chunk(1, [[0], [0], [0], [0]]), END]],
    ['too few columns', [chunk(1, [[0], [0], [0]]), END]],
    ['too many columns', [chunk(1, [[0], [0], [0], [0], [0]]), END]],
    ['too few numbers', [chunk(2, [[0, 0], [0, 0], [0, 0], [0]]), END]],
    ['too many numbers', [chunk(1, [[0], [0], [0], [0, 0]]), END]],
    ['a number without an end', [chunk(1, [[0], [0], [0], [0x80]]), END]],
    ['a number of 56 bits', [chunk(1, [[255, 255, 255, 255, 255, 255, 255, 127], [0], [0], [0]]), END]],
    ['a number of 9 bytes', [chunk(1, [[128, 128, 128, 128, 128, 128, 128, 128, 0], [0], [0], [0]]), END]],
    ['a data block below 0', [chunk(1, [[0], [0], [1], [0]]), END]],
    ['a time below 0', [chunk(1, [[0], [0], [0], [1]]), END]],
    ['a time that is not older than the snapshot', [chunk(1, [[0], [0], [0], [0xd0, 0x0f]]), END]],
    ['a data block of 41 bits', [chunk(1, [[0], [0], [128, 128, 128, 128, 128, 128, 1], [0]]), END]],
    ['a chunk that is longer than the file', [chunk(1, [[0], [0], [0], [0]], 10_000), END]],
    ['too many ranges', [chunk(8193, Array<number[]>(4).fill(Array<number>(8193).fill(0))), END]],
    ['a chunk that is too short for a column', [chunkOf(1, Buffer.from([255, 255, 255, 255])), END]],
    ['a column that is not compressed', [ending(column(Buffer.alloc(4, 255), { raw: true })), END]],
    ['a column that is longer than its chunk', [ending(column(Buffer.alloc(4), { raw: true, length: 10_000 })), END]],
    ['a column that expands to a gigabyte', [chunkOf(8192, column(Buffer.alloc(64 * MiB))), END]],
    ['a column of an unknown coding', [ending(column(Buffer.from([0]), { coding: 2 })), END]],
    ['differences with a width', [ending(column(Buffer.from([0]), { width: 1 })), END]],
    ['differences with a lowest number', [ending(column(Buffer.from([0]), { lowest: 1 })), END]],
    ['fields of 41 bits', [ending(packed([0, 0, 0, 0, 0, 0], { width: 41 })), END]],
    ['too few fields', [ending(packed([], { width: 8 })), END]],
    ['too many fields', [ending(packed([0, 0], { width: 8 })), END]],
    ['fields with times of 25 bits', [ending(packed([0], { width: 8, lowest: 2 ** 24 })), END]],
    ['fields with a lowest number of 64 bits', [ending(packed([0], { width: 8, lowest: 2 ** 63 })), END]],
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

/** Takes the columns of a chunk apart, for `column`. */
function columnsIn(body: Buffer) {
  return Array.from({ length: 4 }, () => {
    const [coding, width, length] = [body.readUInt8(0), body.readUInt8(1), body.readUInt32LE(4)]
    const content = body.subarray(16, 16 + length)
    const [raw, lowest] = [coding === 1, Number(body.readBigUInt64LE(8))]
    body = body.subarray(16 + length)
    return { coding, width, lowest, raw, content: raw ? content : inflateRawSync(content) }
  })
}

test('mutations of the content under a valid digest are refused, or read as ascending ranges', async () => {
  const file = directory.path('mutated')
  await write(file, randomRanges(seeded(11), 300))
  const whole = readFileSync(file)
  const begin = 16 + whole.readUInt32LE(12)
  const columns = columnsIn(whole.subarray(begin + 8, begin + 8 + whole.readUInt32LE(begin + 4)))
  expect(new Set(columns.map(({ coding }) => coding))).toEqual(new Set([0, 1]))
  const outcomes = { refused: 0, read: 0 }
  for (let seed = 1; seed <= 1000; seed++) {
    const random = seeded(seed)
    const isInside = random.chance(70)
    const mutated = (from: Buffer): Buffer => {
      const bytes = Buffer.from(from)
      for (let left = 1 + random.below(2); left > 0; left--) bytes[random.below(bytes.length)] = random.below(256)
      return bytes
    }
    const count = random.chance(10) ? random.below(8193) : 300
    const victim = random.below(columns.length)
    const changed = columns.map((each, at) => (at === victim ? { ...each, content: mutated(each.content) } : each))
    const body = Buffer.concat(changed.map(({ content, ...options }) => column(content, options)))
    if (isInside) sealed(file, formatHeader(HEADER), chunkOf(count, body), END)
    else sealed(file, mutated(whole.subarray(0, -DIGEST_BYTES)))
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
