// The verity target: a read-only device on which every block is verified with a tree of hashes
// (drivers/md/dm-verity-target.c).
import { defineTarget, type Sized } from './define.js'
import { choice, deviceAfter, flag, numberAfter, OptionList, textAfter } from './option-list.js'
import { deviceWord, numberWord, offsetWord, powerOfTwo, textWord } from './words.js'

/** Optional arguments of the verity target. */
export interface VerityOptions {
  /**
   * The reaction to a wrong hash. `ignore_corruption`: the kernel logs it and the read succeeds.
   * `restart_on_corruption`: the machine restarts. `panic_on_corruption`: the kernel panics. Default: the read fails.
   */
  readonly onCorruption?: 'ignore_corruption' | 'restart_on_corruption' | 'panic_on_corruption'
  /**
   * The reaction to a failed read (since 6.12). `restart_on_error`: the machine restarts. `panic_on_error`: the kernel
   * panics. Default: the read fails.
   */
  readonly onError?: 'restart_on_error' | 'panic_on_error'
  /** Returns zeros for blocks whose hash is that of zeros, without reading them. Default false. */
  readonly ignoreZeroBlocks?: boolean
  /** Verifies each data block at its first read only. Default false: at each read. */
  readonly checkAtMostOnce?: boolean
  /** Verifies small reads without a work queue, if their hashes are in memory (since 6.0). Default false. */
  readonly tryVerifyInTasklet?: boolean
  /**
   * Device of the parity with which blocks are corrected. It requires `fecBlocks` and `fecRoots`. Default: no
   * correction.
   */
  readonly fecDevice?: string
  /** Number of blocks covered by the parity. Required with `fecDevice`. */
  readonly fecBlocks?: number
  /** Start of the parity on its device, in blocks. Default 0. */
  readonly fecStart?: number
  /** Bytes of parity for each 255, 2 to 24. Required with `fecDevice`. */
  readonly fecRoots?: number
  /** A key of the kernel's keyring: the signature of the root digest. Default: not checked. */
  readonly rootHashSigKeyDesc?: string
}

/** The table of the verity target: a device, its hashes, and the root digest. */
export interface VerityTable extends Sized, VerityOptions {
  /** The format: 1, or 0 for that of Chromium OS. Default 1. */
  readonly version?: 0 | 1
  /** The device of the data: `7:0`, or a path. */
  readonly dataDevice: string
  /** The device of the hashes: `7:1`, or a path. It may be `dataDevice`. */
  readonly hashDevice: string
  /** Data block size in bytes, a power of two from 512. */
  readonly dataBlockBytes: number
  /** Hash block size in bytes, a power of two from 512. */
  readonly hashBlockBytes: number
  /** The number of data blocks, from 1. Blocks after them cannot be read. */
  readonly dataBlocks: number
  /** Start of the hashes, in blocks of `hashBlockBytes`. Default 0. */
  readonly hashStartBlock?: number
  /** The hash algorithm: `sha256` … */
  readonly algorithm: string
  /** The root digest in hexadecimal digits. */
  readonly rootDigest: string
  /** The salt in hexadecimal digits; empty: none. Default empty. */
  readonly salt?: string
}

/** Status of the verity target. */
export interface VerityStatus {
  /** True if no wrong hash was found so far. */
  readonly valid: boolean
}

const OPTIONS = new OptionList<VerityOptions>({
  onCorruption: choice(['ignore_corruption', 'restart_on_corruption', 'panic_on_corruption']),
  onError: choice(['restart_on_error', 'panic_on_error']),
  ignoreZeroBlocks: flag('ignore_zero_blocks'),
  checkAtMostOnce: flag('check_at_most_once'),
  tryVerifyInTasklet: flag('try_verify_in_tasklet'),
  fecDevice: deviceAfter('use_fec_from_device'),
  fecBlocks: numberAfter('fec_blocks'),
  fecStart: numberAfter('fec_start'),
  fecRoots: numberAfter('fec_roots', { min: 2, max: 24 }),
  rootHashSigKeyDesc: textAfter('root_hash_sig_key_desc'),
})

const HEX = /^([0-9a-fA-F]{2})+$/
const BLOCK = { min: 512, max: 2 ** 31 }

/**
 * Verifies every block of a read-only device with a tree of hashes (dm-verity). Create the mapped device `readOnly`.
 */
export const verity = defineTarget<VerityTable, VerityStatus>({
  type: 'verity',
  options: [
    'version',
    'dataDevice',
    'hashDevice',
    'dataBlockBytes',
    'hashBlockBytes',
    'dataBlocks',
    'hashStartBlock',
    'algorithm',
    'rootDigest',
    'salt',
    ...OPTIONS.names,
  ],
  format: table => [
    numberWord('version', table.version ?? 1, { min: 0, max: 1 }),
    deviceWord('dataDevice', table.dataDevice),
    deviceWord('hashDevice', table.hashDevice),
    powerOfTwo('dataBlockBytes', table.dataBlockBytes, BLOCK),
    powerOfTwo('hashBlockBytes', table.hashBlockBytes, BLOCK),
    numberWord('dataBlocks', table.dataBlocks, { min: 1 }),
    offsetWord('hashStartBlock', table.hashStartBlock),
    textWord('algorithm', table.algorithm),
    textWord('rootDigest', table.rootDigest, HEX),
    (table.salt ?? '') === '' ? '-' : textWord('salt', table.salt, HEX),
    ...OPTIONS.counted(table, { omitNone: true }),
  ],
  parseTable(reader) {
    const version = reader.oneOf('version', ['0', '1']) === '0' ? 0 : 1
    const read = {
      dataDevice: reader.word('data device'),
      hashDevice: reader.word('hash device'),
      dataBlockBytes: reader.number('data block size'),
      hashBlockBytes: reader.number('hash block size'),
      dataBlocks: reader.number('data blocks'),
      hashStartBlock: reader.number('hash start'),
      algorithm: reader.word('algorithm'),
      rootDigest: reader.word('root digest'),
    }
    const salt = reader.word('salt')
    return { version, ...read, salt: salt === '-' ? '' : salt, ...OPTIONS.readCounted(reader) }
  },
  parseStatus: reader => ({ valid: reader.oneOf('state', ['V', 'C']) === 'V' }),
})
