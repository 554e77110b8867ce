// Any status of those targets that print one: the line, and what it says.
import fc from 'fast-check'

const count = fc.oneof(fc.nat(300), fc.maxSafeNat())
/** In sectors, of which the bytes are a number too. */
const sectors = fc.oneof(fc.nat(300), fc.nat({ max: 2 ** 44 - 2 }))
const word = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/)
const device = fc.tuple(fc.nat(4095), fc.nat(1048575)).map(([major, minor]) => `${major}:${minor}`)
const letters = <Letter extends string>(alphabet: readonly Letter[]) =>
  fc.array(fc.constantFrom(...alphabet), { minLength: 1, maxLength: 9 })
const mayEndAt = (words: readonly (string | number)[], end: number) => words.slice(0, end).join(' ')
const pairs = (made: Record<string, string>) => [
  Object.keys(made).length * 2,
  ...Object.entries(made).flatMap(([name, value]) => [name, value]),
]

type Said = readonly [line: string, says: unknown]

const thin = fc.record({ mapped: sectors, highest: fc.option(sectors) }).map(({ mapped, highest }): Said => {
  const highestMappedByte = highest === null ? null : (highest + 1) * 512 - 1
  return [`${mapped} ${highest ?? '-'}`, { state: 'active', mappedBytes: mapped * 512, highestMappedByte }]
})

const thinPool = fc
  .record({
    numbers: fc.tuple(count, count, count, count),
    transactionId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    held: fc.option(count),
    mode: fc.constantFrom('rw', 'ro', 'out_of_data_space'),
    discard: fc.constantFrom('discard_passdown', 'no_discard_passdown', 'ignore_discard'),
    whenFull: fc.constantFrom('queue_if_no_space', 'error_if_no_space'),
    needsCheck: fc.boolean(),
    lowWater: count,
    end: fc.integer({ min: 6, max: 9 }),
  })
  .map(({ numbers: [a, b, c, d], transactionId, held, mode, discard, whenFull, needsCheck, lowWater, end }): Said => {
    const check = needsCheck ? 'needs_check' : '-'
    const places = [`${transactionId}`, `${a}/${b}`, `${c}/${d}`, held ?? '-', mode, discard, whenFull, check, lowWater]
    return [
      mayEndAt(places, end),
      {
        mode,
        transactionId,
        usedMetadataBlocks: a,
        totalMetadataBlocks: b,
        usedDataBlocks: c,
        totalDataBlocks: d,
        heldMetadataRoot: held,
        discard,
        whenFull: end > 6 ? whenFull : 'queue_if_no_space',
        needsCheck: end > 7 && needsCheck,
        metadataLowWaterBlocks: end > 8 ? lowWater : undefined,
      },
    ]
  })

const striped = fc.array(fc.tuple(device, fc.boolean()), { minLength: 1, maxLength: 9 }).map((stripes): Said => {
  const health = stripes.map(([, failed]) => (failed ? 'D' : 'A')).join('')
  const line = [stripes.length, ...stripes.map(([each]) => each), 1, health].join(' ')
  return [line, { stripes: stripes.map(([each, failed]) => ({ device: each, failed })) }]
})

const raid = fc
  .record({
    raidType: word,
    health: letters(['A', 'a', 'D', '-']),
    synced: fc.tuple(count, count),
    action: fc.constantFrom('idle', 'resync', 'recover', 'check', 'repair', 'reshape', 'frozen'),
    mismatches: count,
    offset: count,
    journal: fc.constantFrom('A', 'a', 'D', '-'),
    end: fc.integer({ min: 6, max: 8 }),
  })
  .map(({ raidType, health, synced, action, mismatches, offset, journal, end }): Said => {
    const places = [raidType, health.length, health.join(''), synced.join('/'), action, mismatches, offset, journal]
    const [syncedSectors, totalSectors] = synced
    const later = { dataOffsetSectors: end > 6 ? offset : undefined, journal: end > 7 ? journal : undefined }
    return [mayEndAt(places, end), { raidType, health, syncedSectors, totalSectors, action, mismatches, ...later }]
  })

const mirror = fc
  .record({
    copies: fc.array(fc.tuple(device, fc.constantFrom('A', 'F', 'D', 'S', 'R', 'U')), { minLength: 1, maxLength: 9 }),
    synced: fc.tuple(count, count),
    log: fc.array(word, { maxLength: 3 }),
  })
  .map(({ copies, synced, log }): Said => {
    const health = copies.map(([, letter]) => letter).join('')
    const words = [copies.length, ...copies.map(([each]) => each), synced.join('/'), 1, health, log.length, ...log]
    const says = copies.map(([each, letter]) => ({ device: each, health: letter }))
    return [words.join(' '), { copies: says, syncedRegions: synced[0], totalRegions: synced[1], log }]
  })

const CACHE_COUNTS = ['readHits', 'readMisses', 'writeHits', 'writeMisses', 'demotions', 'promotions', 'dirtyBlocks']
const cache = fc
  .record({
    block: fc.nat(300),
    blocks: fc.tuple(count, count, count, count, count),
    counts: fc.tuple(...CACHE_COUNTS.map(() => count)),
    mode: fc.constantFrom('writeback', 'writethrough', 'passthrough'),
    core: fc.dictionary(word, word, { maxKeys: 3 }),
    policy: word,
    tuned: fc.dictionary(fc.oneof(word, fc.constant('__proto__')), word, { maxKeys: 3 }),
    state: fc.constantFrom('rw', 'ro'),
    needsCheck: fc.boolean(),
  })
  .map(({ block, blocks: [a, b, c, d, e], counts, mode, core, policy, tuned, state, needsCheck }): Said => {
    const head = [block, `${a}/${b}`, c, `${d}/${e}`, ...counts, 1, mode]
    const words = [...head, ...pairs(core), policy, ...pairs(tuned), state, needsCheck ? 'needs_check' : '-']
    const used = { usedMetadataBlocks: a, totalMetadataBlocks: b, blockSectors: c }
    const named = Object.fromEntries(CACHE_COUNTS.map((name, at) => [name, counts[at]]))
    const of = { usedCacheBlocks: d, totalCacheBlocks: e, features: { mode }, coreArguments: { ...core }, policy }
    const tail = { policyArguments: { ...tuned }, state, needsCheck }
    return [words.join(' '), { metadataBlockBytes: block * 512, ...used, ...named, ...of, ...tail }]
  })

const WRITECACHE = [
  'totalBlocks',
  'freeBlocks',
  'writebackBlocks',
  'readBlocks',
  'readHits',
  'writeBlocks',
  'writeHitsUncommitted',
  'writeHitsCommitted',
  'writesAround',
  'writesAllocated',
  'writesBlockedOnFreelist',
  'flushes',
  'discardedBlocks',
]
const writecache = fc
  .record({ error: fc.nat(133), counts: fc.tuple(...WRITECACHE.map(() => count)), end: fc.constantFrom(3, 13) })
  .map(({ error, counts, end }): Said => {
    const said = Object.fromEntries(WRITECACHE.map((name, at) => [name, at < end ? counts[at] : undefined]))
    return [[error === 0 ? '0' : `-${error}`, ...counts.slice(0, end)].join(' '), { error, ...said }]
  })

const era = fc
  .record({ block: fc.nat(300), blocks: fc.tuple(count, count), currentEra: count, held: fc.option(count) })
  .map(({ block, blocks: [a, b], currentEra, held }): Said => {
    const used = { metadataBlockBytes: block * 512, usedMetadataBlocks: a, totalMetadataBlocks: b }
    const line = `${block} ${a}/${b} ${currentEra} ${held ?? '-'}`
    return [line, { state: 'active', ...used, currentEra, heldMetadataRoot: held }]
  })

const counts = (...names: readonly string[]) =>
  fc.tuple(...names.map(() => count)).map((values): Said => {
    return [values.join(' '), Object.fromEntries(names.map((name, at) => [name, values[at]]))]
  })

const integrity = fc.tuple(count, count, fc.option(count)).map(([mismatches, provided, at]): Said => {
  const says = { mismatches, providedDataSectors: provided, recalculatedSectors: at }
  return [`${mismatches} ${provided} ${at ?? '-'}`, says]
})

const logWrites = fc.tuple(count, count, fc.boolean()).map(([loggedEntries, lastSector, full]): Said => {
  return [
    `${loggedEntries} ${lastSector}${full ? ' logging_disabled' : ''}`,
    { loggedEntries, lastSector, loggingDisabled: full },
  ]
})

const snapshot = fc.oneof(
  fc.tuple(count, count, count).map(([used, total, metadata]): Said => {
    const says = { state: 'active', usedSectors: used, totalSectors: total, metadataSectors: metadata }
    return [`${used}/${total} ${metadata}`, says]
  }),
  fc.constantFrom('Invalid', 'Overflow', 'Unknown', 'Merge failed').map((state): Said => [state, { state }]),
)

/** By the kernel's names. */
export const STATUSES: Record<string, fc.Arbitrary<Said>> = {
  thin,
  'thin-pool': thinPool,
  striped,
  raid,
  mirror,
  cache,
  writecache,
  era,
  integrity,
  snapshot,
  'snapshot-merge': snapshot,
  'log-writes': logWrites,
  delay: counts('reads', 'writes', 'flushes'),
  verity: fc.boolean().map((valid): Said => [valid ? 'V' : 'C', { valid }]),
}
