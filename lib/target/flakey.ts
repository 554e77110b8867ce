// The flakey target: a device that fails at intervals (drivers/md/dm-flakey.c).
import { checkOptions, checkNumber } from '../base/options.js'
import { defineTarget, type Sized } from './define.js'
import type { LineReader } from './line.js'
import { flag, numberAfter, OptionList } from './option-list.js'
import { choiceWord, deviceWord, offsetWord, type Word } from './words.js'

/** A byte of each I/O that is overwritten while the device is down. */
export interface CorruptBioByte {
  /** Position of the byte, from 1. */
  readonly nthByte: number
  /** The I/O that is changed: `r`, reads; `w`, writes. */
  readonly direction: 'r' | 'w'
  /** The new value, 0 to 255. */
  readonly value: number
  /** Restricts this to I/O that has all these bits of the kernel's `bi_opf`; 0: any. Default 0. */
  readonly flags?: number
}

/** The behavior while the device is down. Default: reads and writes fail. */
export interface FlakeyFeatures {
  /** Fails reads. Since Linux 6.5; before, reads failed unless an option for writes was given. Default false. */
  readonly errorReads?: boolean
  /** Reports success of writes without writing them. Default false. */
  readonly dropWrites?: boolean
  /** Fails writes. Not together with `dropWrites`. Default false. */
  readonly errorWrites?: boolean
  /** Overwrites a byte of each I/O. Default: none. */
  readonly corruptBioByte?: CorruptBioByte
  /** Corrupts a random byte in this many of 1 000 000 000 reads. Default 0. */
  readonly randomReadCorrupt?: number
  /** Corrupts a random byte in this many of 1 000 000 000 writes. Default 0. */
  readonly randomWriteCorrupt?: number
}

/** The table of the flakey target: a device that is alternately up and down. */
export interface FlakeyTable extends Sized, FlakeyFeatures {
  /** The device: `7:0`, or a path. */
  readonly device: string
  /** Start on the device, in sectors. Default 0. */
  readonly offsetSectors?: number
  /** Duration of each interval in which it works, in seconds. */
  readonly upSeconds: number
  /** Duration of each interval in which it fails, in seconds. The two must not both be 0. */
  readonly downSeconds: number
}

const MAX_SECONDS = 2 ** 32 - 1
const ALWAYS = 1_000_000_000

const corruptBioByte = {
  matches: (word: string) => word === 'corrupt_bio_byte',
  write: (name: string, byte: CorruptBioByte): Word[] => {
    checkOptions(byte, ['nthByte', 'direction', 'value', 'flags'], name)
    return [
      'corrupt_bio_byte',
      checkNumber(`${name}.nthByte`, byte.nthByte, { min: 1, max: 2 ** 32 - 1 }),
      choiceWord(`${name}.direction`, byte.direction, ['r', 'w']),
      checkNumber(`${name}.value`, byte.value, { min: 0, max: 255 }),
      checkNumber(`${name}.flags`, byte.flags ?? 0, { min: 0, max: 2 ** 32 - 1 }),
    ]
  },
  read: (reader: LineReader): CorruptBioByte => ({
    nthByte: reader.number('byte'),
    direction: reader.oneOf('direction', ['r', 'w']),
    value: reader.number('value'),
    flags: reader.number('flags'),
  }),
}

const FEATURES = new OptionList<FlakeyFeatures>({
  errorReads: flag('error_reads'),
  dropWrites: flag('drop_writes'),
  errorWrites: flag('error_writes'),
  corruptBioByte,
  randomReadCorrupt: numberAfter('random_read_corrupt', { min: 0, max: ALWAYS }),
  randomWriteCorrupt: numberAfter('random_write_corrupt', { min: 0, max: ALWAYS }),
})

/** Fails at intervals (dm-flakey). */
export const flakey = defineTarget<FlakeyTable>({
  type: 'flakey',
  options: ['device', 'offsetSectors', 'upSeconds', 'downSeconds', ...FEATURES.names],
  format: table => [
    deviceWord('device', table.device),
    offsetWord('offsetSectors', table.offsetSectors),
    checkNumber('upSeconds', table.upSeconds, { min: 0, max: MAX_SECONDS }),
    checkNumber('downSeconds', table.downSeconds, { min: table.upSeconds === 0 ? 1 : 0, max: MAX_SECONDS }),
    ...FEATURES.counted(table),
  ],
  parseTable: reader => ({
    device: reader.word('device'),
    offsetSectors: reader.number('offset'),
    upSeconds: reader.number('up interval'),
    downSeconds: reader.number('down interval'),
    ...FEATURES.readCounted(reader),
  }),
})
