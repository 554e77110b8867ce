// The crypt target (drivers/md/dm-crypt.c).
import { invalid } from '../base/options.js'
import { defineTarget, type Sized } from './define.js'
import { flag, numberWithin, OptionList, textWithin } from './option-list.js'
import { deviceWord, offsetWord, textWord } from './words.js'

/** Optional arguments of the crypt target. */
export interface CryptOptions {
  /** Passes discards down, which reveals the unused sectors. Default false. */
  readonly allowDiscards?: boolean
  /** Encrypts on the processor that submitted the I/O. Default false: on any processor. */
  readonly sameCpuCrypt?: boolean
  /** Runs the work queues with high priority (since 6.10). Default false. */
  readonly highPriority?: boolean
  /** Submits each write from the thread that encrypted it, instead of from one thread. Default false. */
  readonly submitFromCryptCpus?: boolean
  /** Decrypts reads without a work queue (since 5.9). Default false. */
  readonly noReadWorkqueue?: boolean
  /** Encrypts writes without a work queue (since 5.9). Default false. */
  readonly noWriteWorkqueue?: boolean
  /**
   * `28:aead`: bytes of a tag for each sector, and its kind. The device below must store the tags. Default: no tags.
   */
  readonly integrity?: string
  /** The part of the key for the tags, in bytes (since 6.11). Default: the digest size of the hash. */
  readonly integrityKeyBytes?: number
  /** Encryption sector size in bytes: 512, 1024, 2048 or 4096. Default 512. */
  readonly sectorSizeBytes?: number
  /** Makes the IV count these sectors instead of sectors of 512 bytes. Default false. */
  readonly ivLargeSectors?: boolean
}

/** The table of the crypt target: a device with encrypted content. */
export interface CryptTable extends Sized, CryptOptions {
  /** The cipher: `aes-xts-plain64`, or `capi:xts(aes)-plain64`. */
  readonly cipher: string
  /**
   * The key in hexadecimal digits; or `:32:logon:name`, a key of the kernel's keyring: its bytes, type and description;
   * or `-` for no key. The kernel includes the key in the table: everyone who may read tables has it, unless it is in
   * the keyring.
   */
  readonly key: string
  /** Number added to the sector for the IV. Default 0. */
  readonly ivOffset?: number
  /** The encrypted device: `7:0`, or a path. */
  readonly device: string
  /** Start on the device, in sectors. Default 0. */
  readonly offsetSectors?: number
}

const OPTIONS = new OptionList<CryptOptions>({
  allowDiscards: flag('allow_discards'),
  sameCpuCrypt: flag('same_cpu_crypt'),
  highPriority: flag('high_priority'),
  submitFromCryptCpus: flag('submit_from_crypt_cpus'),
  noReadWorkqueue: flag('no_read_workqueue'),
  noWriteWorkqueue: flag('no_write_workqueue'),
  integrity: textWithin('integrity'),
  integrityKeyBytes: numberWithin('integrity_key_size', { min: 1, max: 2 ** 31 }),
  sectorSizeBytes: numberWithin('sector_size', { min: 512, max: 4096 }),
  ivLargeSectors: flag('iv_large_sectors'),
})

const KEY = /^(-|(?:[0-9a-fA-F]{2})+|:\d+:(?:logon|user|encrypted|trusted):[^\0]+)$/

/** Checks the key. The error does not contain the value, because messages are logged. */
function keyWord(key: unknown): string {
  if (typeof key === 'string' && KEY.test(key)) return key
  throw invalid('key must be hexadecimal digits in pairs, ":BYTES:TYPE:DESCRIPTION" of the keyring, or "-"')
}

/** Decrypts a device: its mapped device has the plain content (dm-crypt). */
export const crypt = defineTarget<CryptTable>({
  type: 'crypt',
  options: ['cipher', 'key', 'ivOffset', 'device', 'offsetSectors', ...OPTIONS.names],
  format: table => [
    textWord('cipher', table.cipher),
    keyWord(table.key),
    offsetWord('ivOffset', table.ivOffset),
    deviceWord('device', table.device),
    offsetWord('offsetSectors', table.offsetSectors),
    ...OPTIONS.counted(table, { omitNone: true }),
  ],
  parseTable: reader => ({
    cipher: reader.word('cipher'),
    key: reader.word('key'),
    ivOffset: reader.number('IV offset'),
    device: reader.word('device'),
    offsetSectors: reader.number('offset'),
    ...OPTIONS.readCounted(reader),
  }),
})
