// The delay target, which delays I/O (drivers/md/dm-delay.c).
import { checkOptions, invalid } from '../base/options.js'
import { defineTarget, type Sized } from './define.js'
import type { LineReader } from './line.js'
import { deviceWord, numberWord, offsetWord, type Word } from './words.js'

/** A device and the time by which I/O of one class is delayed on it. */
export interface DelayClass {
  /** The device: `7:0`, or a path. */
  readonly device: string
  /** Start on the device, in sectors. Default 0. */
  readonly offsetSectors?: number
  /** Delay in milliseconds, from 0. */
  readonly delayMs: number
}

/** The table of the delay target: delays by class of I/O. */
export interface DelayTable extends Sized {
  /** Delay of reads, and of classes that are not given. */
  readonly read: DelayClass
  /** Delay of writes. Default: as reads. */
  readonly write?: DelayClass
  /** Delay of flushes. Needs `write`. Default: as writes. */
  readonly flush?: DelayClass
}

/** Status of the delay target: the delayed requests of each class. */
export interface DelayStatus {
  /** The number of reads that are delayed at present. */
  readonly reads: number
  /** The number of writes that are delayed at present. */
  readonly writes: number
  /** The number of flushes that are delayed at present. */
  readonly flushes: number
}

const MAX_DELAY_MS = 2 ** 31 - 1

function classWords(name: string, held: DelayClass): Word[] {
  checkOptions(held, ['device', 'offsetSectors', 'delayMs'], name)
  return [
    deviceWord(`${name}.device`, held.device),
    offsetWord(`${name}.offsetSectors`, held.offsetSectors),
    numberWord(`${name}.delayMs`, held.delayMs, { min: 0, max: MAX_DELAY_MS }),
  ]
}

const readClass = (reader: LineReader, name: string): DelayClass => ({
  device: reader.word(`${name} device`),
  offsetSectors: reader.number(`${name} offset`),
  delayMs: reader.number(`${name} delay`),
})

/** Delays I/O (dm-delay). */
export const delay = defineTarget<DelayTable, DelayStatus>({
  type: 'delay',
  options: ['read', 'write', 'flush'],
  format({ read, write, flush }) {
    if (flush && !write) throw invalid('delay: flush needs write too')
    const classes = Object.entries({ read, ...(write && { write }), ...(flush && { flush }) })
    return classes.flatMap(([name, held]) => classWords(name, held))
  },
  parseTable(reader) {
    const read = readClass(reader, 'read')
    if (reader.optional() === undefined) return { read }
    const write = readClass(reader, 'write')
    if (reader.optional() === undefined) return { read, write }
    return { read, write, flush: readClass(reader, 'flush') }
  },
  parseStatus: reader => ({
    reads: reader.number('reads'),
    writes: reader.number('writes'),
    flushes: reader.number('flushes'),
  }),
})
