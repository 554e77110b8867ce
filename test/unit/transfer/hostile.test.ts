// Streams that are damaged or forged: a typed error, and only verified content within the volume is written.
import { digestOf } from '../../../lib/transfer/chunk-digest.js'
import { createHash } from 'node:crypto'
import type { BlockDevice } from '../../../lib/entry/index.js'
import { hasCode } from '../../../lib/base/errors.js'
import { applyRecords } from '../../../lib/transfer/apply.js'
import { ByteReader } from '../../../lib/transfer/byte-reader.js'
import {
  formatHeader,
  formatRecord,
  MAX_CHUNK_BYTES,
  NO_DIGEST,
  type StreamHeader,
  type StreamRecord,
} from '../../../lib/transfer/format.js'
import { readHeader } from '../../../lib/transfer/read-stream.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { seeded } from '../../helpers/random/random.js'

const SIZE = 16 * 4096
const STATE = { volume: 3, time: 5, mappedBlocks: 4 }
const FULL: StreamHeader = { pool: 'p', sizeBytes: SIZE, dataBlockBytes: 4096, target: { start: 'u', ...STATE } }
const CHANGES: StreamHeader = { ...FULL, base: { starts: ['u'], ...STATE } }

type Given = Omit<StreamRecord, 'digest'> & { readonly digest?: Uint8Array; readonly content?: Buffer }

/** Makes a stream whose digests are valid, of any records. */
async function sealed(
  header: StreamHeader,
  records: readonly Given[],
  end: Partial<StreamRecord> = {},
): Promise<Buffer> {
  const parts = [formatHeader(header)]
  const hash = createHash('sha256').update(parts[0]!)
  let bytes = 0
  for (const { content, ...record } of records) {
    const digest = record.digest ?? (content ? await digestOf(content) : NO_DIGEST)
    const head = formatRecord({ ...record, digest })
    hash.update(head)
    parts.push(head, content ?? Buffer.alloc(0))
    bytes += content?.length ?? 0
  }
  const last = { type: 'end', offset: records.length, length: bytes, digest: hash.digest(), ...end } as const
  return Buffer.concat([...parts, formatRecord(last)])
}

const chunk = (offset: number, length: number, fill = 7): Given => ({
  type: 'chunk',
  offset,
  length,
  content: Buffer.alloc(length, fill),
})
const hole = (offset: number, length: number): Given => ({ type: 'hole', offset, length })

/** Applies a stream to memory. `read` is the number of bytes that were taken from the source. */
async function apply(stream: Buffer, step = 1000) {
  const memory = Buffer.alloc(SIZE, 1)
  const state = { memory, read: 0, holes: [] as number[][] }
  const inside = (offset: number, length: number) => {
    if (offset < 0 || length <= 0 || offset + length > SIZE) throw new Error(`${length} bytes at ${offset}`)
  }
  const device = {
    write: (offset: number, content: Buffer) => {
      inside(offset, content.length)
      content.copy(memory, offset)
      return Promise.resolve()
    },
    discard: ({ offsetBytes, lengthBytes }: { offsetBytes: number; lengthBytes: number }) => {
      inside(offsetBytes, lengthBytes)
      state.holes.push([offsetBytes, lengthBytes])
      memory.fill(0, offsetBytes, offsetBytes + lengthBytes)
      return Promise.resolve()
    },
    zeroOut: (range: { offsetBytes: number; lengthBytes: number }) => {
      inside(range.offsetBytes, range.lengthBytes)
      memory.fill(0, range.offsetBytes, range.offsetBytes + range.lengthBytes)
      return Promise.resolve()
    },
  } as unknown as BlockDevice
  async function* source(): AsyncGenerator<Buffer> {
    for (let at = 0; at < stream.length; at += step) {
      state.read = Math.min(stream.length, at + step)
      yield stream.subarray(at, at + step)
      await Promise.resolve()
    }
  }
  const reader = new ByteReader(source(), undefined)
  const outcome = (async () => applyRecords(reader, await readHeader(reader), { device }))()
  const fault = await outcome.then(
    () => undefined,
    (error: unknown) => error,
  )
  return { ...state, fault }
}

async function refused(stream: Buffer, detail: string): Promise<number> {
  const { fault, read } = await apply(stream)
  expect(await expectCode(Promise.reject(fault as Error), 'DM_TRANSFER_INVALID')).toMatchObject({ detail })
  return read
}

test('a valid stream is applied, in pieces of any length', async () => {
  const stream = await sealed(CHANGES, [chunk(0, 4096, 2), hole(8192, 8192), chunk(20480, 512, 3)])
  const expected = Buffer.alloc(SIZE, 1).fill(2, 0, 4096).fill(0, 8192, 16384).fill(3, 20480, 20992)
  for (const step of [1, 7, 100_000]) {
    const { fault, memory, holes } = await apply(stream, step)
    expect(fault).toBeUndefined()
    expect(memory.equals(expected)).toBe(true)
    expect(holes).toEqual([[8192, 8192]])
  }
  // Whole blocks are unmapped, and parts of blocks are zeroed.
  const odd = await apply(await sealed(CHANGES, [hole(512, 8192)]))
  expect(odd.holes).toEqual([[4096, 4096]])
  expect(odd.memory.equals(Buffer.alloc(SIZE, 1).fill(0, 512, 8704))).toBe(true)
})

test('each changed bit, and each length, of a stream is refused', async () => {
  const stream = await sealed(CHANGES, [chunk(0, 512, 2), hole(4096, 4096)])
  for (let at = 0; at < stream.length; at++) {
    const bytes = Buffer.from(stream)
    bytes[at]! ^= 1 << (at % 8)
    const changed = await apply(bytes)
    expect({ at, refused: hasCode(changed.fault, 'DM_TRANSFER_INVALID') }).toEqual({ at, refused: true })
    const cut = await apply(stream.subarray(0, at))
    expect(cut.fault).toMatchObject({ code: 'DM_TRANSFER_INVALID', detail: 'truncated' })
  }
})

test('random streams of random records end in a typed error, or were valid', async () => {
  const random = seeded(16)
  const numbers = [0, 1, 511, 512, 4096, SIZE - 512, SIZE, SIZE + 512, 2 ** 20, 2 ** 32, 2 ** 53]
  let valid = 0
  for (let round = 0; round < 500; round++) {
    const records = Array.from({ length: random.below(4) }, (): Given => {
      const offset = random.chance(70) ? 512 * random.below(SIZE / 512) : random.pick(numbers)
      const length = random.chance(70) ? 512 * random.integer(1, 8) : random.pick(numbers)
      const content = length <= SIZE ? Buffer.alloc(length, 9) : Buffer.alloc(10)
      return random.chance(60) ? { type: 'chunk', offset, length, content } : hole(offset, length)
    })
    const { fault } = await apply(await sealed(random.pick([FULL, CHANGES]), records))
    if (fault === undefined) valid++
    else expect(fault).toMatchObject({ code: 'DM_TRANSFER_INVALID' })
  }
  expect(valid).toBeGreaterThan(20)
  expect(valid).toBeLessThan(480)
})

describe('a forged record', () => {
  test.each<[string, StreamHeader, Given[]]>([
    ['a chunk after the end', FULL, [chunk(SIZE - 512, 1024)]],
    ['a chunk that is longer than the limit', { ...FULL, sizeBytes: 2 ** 40 }, [chunk(0, MAX_CHUNK_BYTES + 512)]],
    ['a chunk of no length', FULL, [chunk(512, 0)]],
    ['a part of a sector', FULL, [chunk(0, 100)]],
    ['an offset within a sector', FULL, [chunk(100, 512)]],
    ['an overlap', FULL, [chunk(0, 1024), chunk(512, 512)]],
    ['a descent', FULL, [chunk(4096, 512), chunk(0, 512)]],
    ['a hole in a full stream', FULL, [hole(0, 4096)]],
    ['a hole after the end', CHANGES, [hole(SIZE, 4096)]],
    ['a hole over what was written', CHANGES, [chunk(0, 4096), hole(0, 4096)]],
    ['a wrong digest', FULL, [{ ...chunk(0, 512), digest: NO_DIGEST }]],
  ])('%s is refused', async (_, header, records) => {
    await refused(await sealed(header, records), 'damaged')
  })

  test('a length of many gigabytes is refused before any of it is read', async () => {
    const stream = await sealed({ ...FULL, sizeBytes: 2 ** 50 }, [{ type: 'chunk', offset: 0, length: 2 ** 40 }])
    const padded = Buffer.concat([stream, Buffer.alloc(10 * MAX_CHUNK_BYTES)])
    expect(await refused(padded, 'damaged')).toBeLessThan(3000)
  })

  test.each<[string, Partial<StreamRecord>]>([
    ['number of records', { offset: 2 }],
    ['number of bytes', { length: 511 }],
    ['digest', { digest: NO_DIGEST }],
  ])('an end with another %s is refused', async (_, end) => {
    await refused(await sealed(FULL, [chunk(0, 512)], end), 'damaged')
  })
})

describe('a forged header', () => {
  const raw = (text: string) => {
    const bytes = formatHeader(FULL)
    bytes.writeUInt32LE(Buffer.byteLength(text), 12)
    return Buffer.concat([bytes.subarray(0, 16), Buffer.from(text)])
  }
  test.each<[string, object | string | null]>([
    ['no JSON', '{'],
    ['null', null],
    ['no target', { ...FULL, target: undefined }],
    ['a size of no sectors', { ...FULL, sizeBytes: 0 }],
    ['a size within a sector', { ...FULL, sizeBytes: 700 }],
    ['a size that is no number', { ...FULL, sizeBytes: '512' }],
    ['a base without starts', { ...CHANGES, base: { ...STATE } }],
    ['starts that are numbers', { ...CHANGES, base: { ...STATE, starts: [1] } }],
    ['a negative number', { ...FULL, target: { ...FULL.target, time: -1 } }],
  ])('%s is refused', async (_, header) => {
    await refused(raw(typeof header === 'string' ? header : JSON.stringify(header)), 'damaged')
  })

  test('a header that is longer than the limit is refused before it is read', async () => {
    const bytes = formatHeader(FULL)
    bytes.writeUInt32LE(2 ** 32 - 1, 12)
    expect(await refused(Buffer.concat([bytes, Buffer.alloc(2 ** 20)]), 'damaged')).toBeLessThan(3000)
  })
})
