// The crypt target (drivers/md/dm-crypt.c).
import { invalid } from '../base/options.js'
import { defineTarget, type Sized } from './define.js'
import { flag, numberWithin, OptionList, textWithin } from './option-list.js'
import { deviceWord, offsetWord, textWord } from './words.js'

/** Optional arguments of the crypt target. */
export interface CryptOptions {
  /** Discards go down: an onlooker sees which sectors are unused. */
  readonly allowDiscards?: boolean
  readonly sameCpuCrypt?: boolean
  /** Since 6.10. */
  readonly highPriority?: boolean
  readonly submitFromCryptCpus?: boolean
  readonly noReadWorkqueue?: boolean
  readonly noWriteWorkqueue?: boolean
  /** `28:aead`: bytes of a tag for each sector, and its kind; the device below must store them. */
  readonly integrity?: string
  /** The share of the key that is for the tags, in bytes (since 6.11). */
  readonly integrityKeyBytes?: number
  /** What is encrypted at once, in bytes: 512, 1024, 2048 or 4096. Default 512. */
  readonly sectorSizeBytes?: number
  /** The IV counts in such sectors and not in those of 512 bytes. */
  readonly ivLargeSectors?: boolean
}

/** A device with encrypted content. */
export interface CryptTable extends Sized, CryptOptions {
  /** `aes-xts-plain64`, or `capi:xts(aes)-plain64`. */
  readonly cipher: string
  /**
   * In hexadecimal digits; or `:32:logon:name`, a key of the kernel's keyring: its bytes, type and description; or `-`
   * for none. The kernel prints it in the table: who may read tables has the key, unless it is in the keyring.
   */
  readonly key: string
  /** Added to the sector for the IV. Default 0. */
  readonly ivOffset?: number
  /** `7:0`, or a path. */
  readonly device: string
  /** Where it begins on the device, in sectors. Default 0. */
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

/** Says nothing of the value: an error's message ends up in a log. */
function keyWord(key: unknown): string {
  if (typeof key === 'string' && KEY.test(key)) return key
  throw invalid('key must be hexadecimal digits in pairs, ":BYTES:TYPE:DESCRIPTION" of the keyring, or "-"')
}

/** Shows the plain content of an encrypted device (dm-crypt). */
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
