// Any table of each target, as it is read: what the kernel has a default for is said, and a flag that is off is not.
import fc from 'fast-check'
import * as kernel from '../../../lib/entry/kernel'

const whole = fc.oneof(fc.nat(300), fc.nat(), fc.maxSafeNat())
const upTo = (max: number) => fc.oneof(fc.nat(Math.min(max, 300)), fc.nat(max), fc.constant(max))
const lengthSectors = fc.integer({ min: 1, max: 2 ** 40 })
const device = fc.oneof(
  fc.tuple(fc.nat(4095), fc.nat(1048575)).map(([major, minor]) => `${major}:${minor}`),
  fc.stringMatching(/^\/dev\/[a-z][a-z0-9_.-]{0,20}$/),
)
const powers = (from: number, to: number) =>
  fc.integer({ min: Math.log2(from), max: Math.log2(to) }).map(power => 2 ** power)
const on = fc.constant(true as const)
const word = fc.stringMatching(/^[a-z][a-z0-9_-]{0,12}$/)
const hex = fc.stringMatching(/^([0-9a-f]{2}){1,32}$/)

/** Some of the options, or none. */
const options = <T extends object>(fields: { [Name in keyof T]: fc.Arbitrary<T[Name]> }): fc.Arbitrary<Partial<T>> =>
  fc.record(fields, { requiredKeys: [], noNullPrototype: true }) as fc.Arbitrary<Partial<T>>

/** All of them. */
const record = <T extends object>(fields: { [Name in keyof T]: fc.Arbitrary<T[Name]> }): fc.Arbitrary<T> =>
  fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>

const both = <A extends object, B extends object>(first: fc.Arbitrary<A>, second: fc.Arbitrary<B>) =>
  fc.tuple(first, second).map(([a, b]) => ({ ...a, ...b }))

const piece = record({ device, offsetSectors: whole })
const delayClass = record({ device, offsetSectors: whole, delayMs: upTo(2 ** 31 - 1) })
const snapshot = both(
  record({
    lengthSectors,
    originDevice: device,
    cowDevice: device,
    persistent: fc.constantFrom('P', 'PO', 'N'),
    chunkSectors: powers(1, 2 ** 31),
  }),
  options({ discardZeroesCow: on, discardPassdownOrigin: on }),
)
const byte = record({
  nthByte: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  direction: fc.constantFrom('r', 'w'),
  value: fc.nat(255),
  flags: upTo(2 ** 32 - 1),
})
const places = fc.array(fc.nat(252), { minLength: 1, maxLength: 4 })
const sync = fc.constantFrom('sync', 'nosync')
const log = fc.oneof(
  both(record({ kind: fc.constant('core'), regionSectors: powers(1, 2 ** 31) }), options({ sync })),
  both(record({ kind: fc.constant('disk'), device, regionSectors: powers(1, 2 ** 31) }), options({ sync })),
)

/** By the kernel's names. */
export const TABLES: Record<string, fc.Arbitrary<object>> = {
  linear: record({ lengthSectors, device, offsetSectors: whole }),
  striped: record({
    times: fc.integer({ min: 1, max: 1000 }),
    chunkSectors: fc.integer({ min: 1, max: 2 ** 31 }),
    stripes: fc.array(piece, { minLength: 1, maxLength: 6 }),
  }).map(({ times, chunkSectors, stripes }) => {
    return { lengthSectors: times * chunkSectors * stripes.length, chunkSectors, stripes }
  }),
  error: record({ lengthSectors }),
  zero: record({ lengthSectors }),
  delay: fc.oneof(
    record({ lengthSectors, read: delayClass }),
    record({ lengthSectors, read: delayClass, write: delayClass }),
    record({ lengthSectors, read: delayClass, write: delayClass, flush: delayClass }),
  ),
  flakey: both(
    record({
      lengthSectors,
      device,
      offsetSectors: whole,
      upSeconds: upTo(2 ** 32 - 1),
      downSeconds: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    }),
    options({
      errorReads: on,
      dropWrites: on,
      errorWrites: on,
      corruptBioByte: byte,
      randomReadCorrupt: upTo(1_000_000_000),
      randomWriteCorrupt: upTo(1_000_000_000),
    }),
  ),
  'log-writes': record({ lengthSectors, device, logDevice: device }),
  snapshot,
  'snapshot-merge': snapshot,
  'snapshot-origin': record({ lengthSectors, originDevice: device }),
  'thin-pool': both(
    record({
      lengthSectors,
      metadataDevice: device,
      dataDevice: device,
      blockSectors: fc.integer({ min: 1, max: 16384 }).map(count => count * 128),
      lowWaterBlocks: whole,
    }),
    options({ skipBlockZeroing: on, ignoreDiscard: on, noDiscardPassdown: on, readOnly: on, errorIfNoSpace: on }),
  ),
  thin: both(record({ lengthSectors, poolDevice: device, id: upTo(2 ** 24 - 1) }), options({ externalOrigin: device })),
  crypt: both(
    record({
      lengthSectors,
      cipher: fc.constantFrom('aes-xts-plain64', 'capi:xts(aes)-plain64', 'capi:gcm(aes)-random'),
      key: fc.oneof(fc.constant('-'), hex, fc.constant(':32:logon:dm:a')),
      ivOffset: whole,
      device,
      offsetSectors: whole,
    }),
    options({
      allowDiscards: on,
      sameCpuCrypt: on,
      highPriority: on,
      submitFromCryptCpus: on,
      noReadWorkqueue: on,
      noWriteWorkqueue: on,
      integrity: fc.constant('28:aead'),
      integrityKeyBytes: fc.integer({ min: 1, max: 2 ** 31 }),
      sectorSizeBytes: powers(512, 4096),
      ivLargeSectors: on,
    }),
  ),
  cache: both(
    record({
      lengthSectors,
      metadataDevice: device,
      cacheDevice: device,
      originDevice: device,
      blockSectors: fc.integer({ min: 1, max: 32768 }).map(count => count * 64),
      policy: word,
      policyArguments: fc.dictionary(fc.oneof(word, fc.constantFrom('__proto__', 'constructor')), word, {
        maxKeys: 4,
        noNullPrototype: true,
      }),
    }),
    options({
      metadata2: on,
      mode: fc.constantFrom('writeback', 'writethrough', 'passthrough'),
      noDiscardPassdown: on,
    }),
  ),
  writecache: both(
    record({
      lengthSectors,
      kind: fc.constantFrom('p', 's'),
      originDevice: device,
      cacheDevice: device,
      blockBytes: powers(512, 4096),
    }),
    options({
      startSector: whole,
      highWatermark: upTo(100),
      lowWatermark: upTo(100),
      writebackJobs: upTo(2 ** 32 - 1),
      autocommitBlocks: upTo(2 ** 32 - 1),
      autocommitTimeMs: upTo(3_600_000),
      maxAgeMs: upTo(86_400_000),
      cleaner: on,
      writebackFua: fc.constantFrom('fua', 'nofua'),
      metadataOnly: on,
      pauseWritebackMs: upTo(3_600_000),
    }),
  ),
  era: record({
    lengthSectors,
    metadataDevice: device,
    originDevice: device,
    blockSectors: fc.integer({ min: 1, max: 2 ** 28 }).map(count => count * 8),
  }),
  verity: both(
    record({
      lengthSectors,
      version: fc.constantFrom(0, 1),
      dataDevice: device,
      hashDevice: device,
      dataBlockBytes: powers(512, 2 ** 31),
      hashBlockBytes: powers(512, 2 ** 31),
      dataBlocks: fc.integer({ min: 1 }),
      hashStartBlock: whole,
      algorithm: word,
      rootDigest: hex,
      salt: fc.oneof(fc.constant(''), hex),
    }),
    options({
      onCorruption: fc.constantFrom('ignore_corruption', 'restart_on_corruption', 'panic_on_corruption'),
      onError: fc.constantFrom('restart_on_error', 'panic_on_error'),
      ignoreZeroBlocks: on,
      checkAtMostOnce: on,
      tryVerifyInTasklet: on,
      fecDevice: device,
      fecBlocks: whole,
      fecStart: whole,
      fecRoots: fc.integer({ min: 2, max: 24 }),
      rootHashSigKeyDesc: word,
    }),
  ),
  integrity: both(
    record({
      lengthSectors,
      device,
      reservedSectors: whole,
      mode: fc.constantFrom('J', 'B', 'D', 'R', 'I'),
    }),
    options({
      tagBytes: fc.integer({ min: 1, max: 2 ** 31 }),
      metaDevice: device,
      blockSizeBytes: powers(512, 4096),
      recalculate: on,
      resetRecalculate: on,
      allowDiscards: on,
      journalSectors: whole,
      interleaveSectors: whole,
      bufferSectors: whole,
      journalWatermark: upTo(100),
      commitTimeMs: whole,
      sectorsPerBit: whole,
      bitmapFlushIntervalMs: whole,
      fixPadding: on,
      fixHmac: on,
      legacyRecalculate: on,
      internalHash: fc.constantFrom('crc32c', 'hmac(sha256):00ff'),
      journalCrypt: fc.constant('ctr(aes):00'),
      journalMac: fc.constant('hmac(sha256):00'),
    }),
  ),
  raid: both(
    record({
      lengthSectors,
      raidType: fc.stringMatching(/^raid\d{1,2}[a-z_]{0,6}$/),
      chunkSectors: whole,
      devices: fc.array(record({ metadata: fc.option(device), data: fc.option(device) }), {
        minLength: 1,
        maxLength: 9,
      }),
    }),
    options({
      sync,
      rebuild: places,
      daemonSleepMs: whole,
      minRecoveryRate: whole,
      maxRecoveryRate: whole,
      writeMostly: places,
      maxWriteBehindSectors: whole,
      stripeCacheSectors: whole,
      regionSectors: whole,
      raid10Copies: fc.integer({ min: 2, max: 255 }),
      raid10Format: fc.constantFrom('near', 'far', 'offset'),
      deltaDisks: fc.integer({ min: -253, max: 253 }),
      dataOffsetSectors: whole,
      journalDevice: device,
      journalMode: fc.constantFrom('writethrough', 'writeback'),
    }),
  ),
  mirror: both(
    record({ lengthSectors, log, copies: fc.array(piece, { minLength: 2, maxLength: 9 }) }),
    options({ handleErrors: on, keepLog: on }),
  ),
}

type AnyTarget = kernel.Target<kernel.Sized, unknown>
const TARGETS = Object.values(kernel).filter(
  (each): each is typeof kernel.linear => typeof each === 'function' && 'parseTable' in each,
)
/** Whose tables only the test knows. */
export const targetOf = (type: string): AnyTarget =>
  TARGETS.find(target => target.type === type) as unknown as AnyTarget
export const lineOf = (type: string, parameters: string) => ({ lengthSectors: 8192, type, parameters })
