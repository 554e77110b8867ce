// The two calls, over a socket, on metadata at rest that thin_restore has made: entries, positions, limits and statuses.
import { status } from '@grpc/grpc-js'
import type { SnapshotResolver } from '../../../lib/entry/snapshot-metadata.js'
import { imageDirectory, restoreImage } from '../../helpers/metadata/image.js'
import { thinDelta, thinDump } from '../../helpers/metadata/tools.js'
import type { XmlThin } from '../../helpers/metadata/xml.js'
import { seeded } from '../../helpers/random/random.js'
import {
  blocksIn,
  FIXED_LENGTH,
  VARIABLE_LENGTH,
  type Base,
  type Entry,
} from '../../helpers/snapshot-metadata/client.js'
import { serving, type Scene } from '../../helpers/snapshot-metadata/serving.js'

const BLOCK = 65_536
const BLOCKS = 300
const SIZE = BLOCKS * BLOCK
const directory = imageDirectory()
let image: string
let other: string

const part = (virtual: number, data: number, length: number) => ({ virtual, data, length })

/** 1: a base. 2: a target that has overwritten, discarded and added blocks. 3: a volume without blocks. */
const THINS: readonly XmlThin[] = [
  { id: 1, parts: [part(0, 0, 20), part(40, 40, 30), part(100, 100, 10), part(299, 299, 1)] },
  {
    id: 2,
    parts: [
      part(0, 0, 5),
      part(5, 500, 3),
      part(8, 8, 4),
      // 12 to 15 are discarded
      part(16, 16, 4),
      part(20, 600, 2),
      part(40, 40, 30),
      part(100, 700, 1),
      part(101, 901, 1),
      part(102, 102, 8),
      // 299 is discarded
    ],
  },
  { id: 3, parts: [] },
]

beforeAll(() => {
  image = directory.path('pool')
  restoreImage(image, { dataBlocks: 2000, thins: THINS })
  other = directory.path('other')
  restoreImage(other, { dataBlocks: 2000, thins: THINS })
})
afterAll(() => directory.remove())

/** Ids are thin ids; `other:1` is of another pool; `short:2` is a volume that ends within a block. */
const snapshots: SnapshotResolver = {
  snapshot: async id => {
    if (id === 'broken') throw new TypeError('a defect')
    const [, kind, number] = /^(?:(\w+):)?(\d+)$/.exec(id) ?? []
    const sizeBytes = kind === 'short' ? 300 * BLOCK - 1000 : SIZE
    return { pool: kind === 'other' ? other : image, id: Number(number ?? 99), sizeBytes }
  },
}
const served = <T>(body: (scene: Scene) => Promise<T>, fixedLength = false): Promise<T> =>
  serving({ snapshots, fixedLength }, body)

const allocatedBlocks = (id: number): number[] =>
  thinDump(image)
    .get(id)!
    .flatMap(({ begin, length }) => Array.from({ length }, (_, at) => begin + at))
const changedBlocks = (base: number, target: number): number[] =>
  thinDelta(image, base, target)
    .filter(({ type }) => type !== 'same')
    .flatMap(({ begin, length }) => Array.from({ length }, (_, at) => begin + at))

/** Each call with the blocks that the tools list. */
const CALLS: [string, Base, string, () => number[]][] = [
  ['the blocks of a snapshot', undefined, '1', () => allocatedBlocks(1)],
  ['a delta', '1', '2', () => changedBlocks(1, 2)],
  ['a delta back', '2', '1', () => changedBlocks(2, 1)],
  ['a delta to an empty volume', '1', '3', () => changedBlocks(1, 3)],
]

describe.each(CALLS)('%s', (_, base, target, wanted) => {
  test('has the blocks that the tools list, with an entry for each run of blocks', () =>
    served(async ({ client }) => {
      const entries = await client.entries(base, target)
      expect(blocksIn(entries, BLOCK)).toEqual(wanted())
      const touching = entries.filter((entry, at) => at > 0 && endOf(entries[at - 1]!) === entry.byte_offset)
      expect(touching).toEqual([])
    }))

  test('has an entry for each block with FIXED_LENGTH', () =>
    served(async ({ client }) => {
      for await (const response of client.responses(base, target)) {
        expect(response).toMatchObject({ block_metadata_type: FIXED_LENGTH, volume_capacity_bytes: SIZE })
        expect(response.block_metadata.every(({ size_bytes }) => size_bytes === BLOCK)).toBe(true)
      }
      expect(blocksIn(await client.entries(base, target), BLOCK)).toEqual(wanted())
    }, true))

  test.each([false, true])('continues from each byte offset (fixed length: %s)', fixedLength =>
    served(async ({ client }) => {
      const whole = wanted()
      const random = seeded(7)
      const offsets = Array.from({ length: 60 }, () => random.below(SIZE + 1))
      for (const block of [0, 1, 5, 12, 16, 20, 70, 102, 299]) {
        offsets.push(block * BLOCK, block * BLOCK + 1, (block + 1) * BLOCK - 1)
      }
      for (const starting_offset of [...offsets, SIZE]) {
        const entries = await client.entries(base, target, { starting_offset })
        const rest = starting_offset === SIZE ? [] : whole.filter(block => (block + 1) * BLOCK > starting_offset)
        expect({ starting_offset, blocks: blocksIn(entries, BLOCK) }).toEqual({ starting_offset, blocks: rest })
      }
    }, fixedLength),
  )

  test.each([0, 1, 2, 7, 2 ** 31 - 1])('has the same entries with max_results %i', max_results =>
    served(async ({ client }) => {
      const lengths: number[] = []
      const entries: Entry[] = []
      for await (const { block_metadata } of client.responses(base, target, { max_results })) {
        lengths.push(block_metadata.length)
        entries.push(...block_metadata)
      }
      expect(blocksIn(entries, BLOCK)).toEqual(wanted())
      // All but the last response are full.
      const limit = max_results === 0 ? 4096 : Math.min(max_results, 4096)
      expect(lengths.slice(0, -1).every(length => length === limit)).toBe(true)
    }, true),
  )

  test('is complete if each response is followed by a restart', () =>
    served(async ({ client }) => {
      const entries = await client.entriesWithRestarts(base, target, 1)
      expect(blocksIn(entries, BLOCK)).toEqual(wanted())
    }))
})

const endOf = ({ byte_offset, size_bytes }: Entry): number => byte_offset + size_bytes

test('a call without blocks has one response with the size of the volume, and no entry', () =>
  served(async ({ client }) => {
    for (const [base, target] of [
      [undefined, '3'],
      ['2', '2'],
    ] as const) {
      const responses: unknown[] = []
      for await (const response of client.responses(base, target)) responses.push(response)
      expect(responses).toEqual([
        { block_metadata_type: VARIABLE_LENGTH, volume_capacity_bytes: SIZE, block_metadata: [] },
      ])
    }
  }))

test.each([false, true])('the last entry ends at the end of a volume whose last block is shorter (fixed: %s)', fixed =>
  served(async ({ client }) => {
    const size = 300 * BLOCK - 1000
    const last: Entry = { byte_offset: 299 * BLOCK, size_bytes: BLOCK - 1000 }
    const responses = []
    for await (const each of client.responses('short:3', 'short:1')) responses.push(each)
    expect(responses).toHaveLength(1)
    expect(responses[0]).toMatchObject({ block_metadata_type: VARIABLE_LENGTH, volume_capacity_bytes: size })
    expect(responses[0]!.block_metadata.at(-1)).toEqual(last)
    expect(await client.entries('short:3', 'short:1', { starting_offset: size - 1 })).toEqual([last])
    expect(await client.entries('short:3', 'short:1', { starting_offset: size })).toEqual([])
    expect((await client.failure('short:3', 'short:1', { starting_offset: size + 1 })).code).toBe(status.OUT_OF_RANGE)
  }, fixed),
)

test('each wrong request has the status of the specification', () =>
  served(async ({ client }) => {
    const codeOf = async (...args: Parameters<typeof client.failure>) => (await client.failure(...args)).code
    expect(await codeOf(undefined, '')).toBe(status.INVALID_ARGUMENT)
    expect(await codeOf('', '1')).toBe(status.INVALID_ARGUMENT)
    expect(await codeOf('1', '')).toBe(status.INVALID_ARGUMENT)
    expect(await codeOf('1', '2', { max_results: -1 })).toBe(status.INVALID_ARGUMENT)
    expect(await codeOf('1', 'other:2')).toBe(status.INVALID_ARGUMENT)
    expect(await codeOf(undefined, '99')).toBe(status.NOT_FOUND)
    expect(await codeOf('99', '1')).toBe(status.NOT_FOUND)
    expect(await codeOf('1', '99')).toBe(status.NOT_FOUND)
    for (const starting_offset of [-1, SIZE + 1, 2 ** 52]) {
      expect(await codeOf(undefined, '1', { starting_offset })).toBe(status.OUT_OF_RANGE)
      expect(await codeOf('1', '2', { starting_offset })).toBe(status.OUT_OF_RANGE)
    }
  }))

test('secrets are neither needed nor shown', () =>
  served(async ({ client }) => {
    const secrets = { password: 'sesame' }
    expect(await client.entries('1', '2', { secrets })).toEqual(await client.entries('1', '2'))
    const { details } = await client.failure('1', '99', { secrets })
    expect(details).not.toContain('sesame')
  }))

test('an error that no client caused is reported to the owner of the server', () =>
  served(async ({ client, reported }) => {
    expect(await client.failure(undefined, 'broken')).toEqual({ code: status.UNKNOWN, details: 'a defect' })
    expect(reported.splice(0)).toEqual(['GetMetadataAllocated', expect.any(TypeError)])
  }))
