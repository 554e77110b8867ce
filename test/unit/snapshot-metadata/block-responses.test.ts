// Ranges as responses, for any ranges, block sizes, volumes and limits.
import fc from 'fast-check'
import { responsesOf, type BlockRange, type MetadataResponse } from '../../../lib/snapshot-metadata/block-responses.js'
import { everywhereLater } from '../../helpers/random/properties.js'
import { collect } from '../../helpers/metadata/collect.js'

/** Ascending ranges without overlap, some of which touch, and what follows the last one. */
const ranges = fc
  .array(fc.record({ gap: fc.integer({ min: 0, max: 3 }), length: fc.integer({ min: 1, max: 40 }) }), { maxLength: 30 })
  .map(parts => {
    let at = 0
    return parts.map(({ gap, length }): BlockRange => {
      const begin = at + gap
      at = begin + length
      return { begin, length }
    })
  })

const forms = fc.record({
  fixedLength: fc.boolean(),
  blockBytes: fc.constantFrom(65_536, 196_608, 2 ** 30),
  /** By how many sectors the volume is shorter than its blocks. */
  missingSectors: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 127 })),
  maxResults: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 9 })),
})

async function* items<T>(all: readonly T[]): AsyncGenerator<T> {
  yield* all
}

/** The bytes of the entries, as blocks. The last entry may end with the volume. */
const blocksOf = (responses: readonly MetadataResponse[], blockBytes: number): number[] =>
  responses.flatMap(({ block_metadata }) =>
    block_metadata.flatMap(({ byte_offset, size_bytes }) =>
      Array.from({ length: Math.ceil(size_bytes / blockBytes) }, (_, at) => byte_offset / blockBytes + at),
    ),
  )

test('the entries have the blocks of the ranges, ascending, within the volume, in responses within the limit', () =>
  everywhereLater(300, fc.tuple(ranges, forms), async ([wanted, form]) => {
    const { fixedLength, blockBytes, missingSectors, maxResults } = form
    const last = wanted.at(-1)
    const blocks = last ? last.begin + last.length : 1
    const sizeBytes = blocks * blockBytes - 512 * missingSectors
    const responses = await collect(responsesOf(items(wanted), { fixedLength, blockBytes, sizeBytes, maxResults }))
    const type = fixedLength && missingSectors === 0 ? 1 : 2
    for (const { block_metadata_type, volume_capacity_bytes } of responses) {
      expect([block_metadata_type, volume_capacity_bytes]).toEqual([type, sizeBytes])
    }
    const entries = responses.flatMap(({ block_metadata }) => block_metadata)
    const ends = entries.map(({ byte_offset, size_bytes }) => byte_offset + size_bytes)
    expect(ends.every(end => end <= sizeBytes)).toBe(true)
    // Entries of a fixed length touch, others do not.
    for (const [at, { byte_offset, size_bytes }] of entries.slice(1).entries()) {
      expect(fixedLength ? byte_offset >= ends[at]! : byte_offset > ends[at]!).toBe(true)
      expect(size_bytes).toBeGreaterThan(0)
    }
    const all = wanted.flatMap(({ begin, length }) => Array.from({ length }, (_, at) => begin + at))
    expect(blocksOf(responses, blockBytes)).toEqual(all)
    const lengths = responses.map(({ block_metadata }) => block_metadata.length)
    if (maxResults > 0) expect(lengths.slice(0, -1).every(length => length === maxResults)).toBe(true)
    expect(lengths.at(-1)! > 0 || responses.length === 1).toBe(true)
  }))
