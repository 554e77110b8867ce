// The striped target: chunks of several devices in turn, as in RAID 0 (drivers/md/dm-stripe.c).
import { invalid } from '../base/options.js'
import { defineTarget, type Sized } from './define.js'
import { listOf, numberWord, pieceWords } from './words.js'

/** A device of a striped target, with an offset. */
export interface Stripe {
  /** The device: `7:0`, or a path. */
  readonly device: string
  /** Start on the device, in sectors. Default 0. */
  readonly offsetSectors?: number
}

/** The table of the striped target. Its length must be a whole number of chunks on each device. */
export interface StripedTable extends Sized {
  /** Chunk size in sectors, from 1: the amount on one device before the next one follows. */
  readonly chunkSectors: number
  /** The devices, at least one. */
  readonly stripes: readonly Stripe[]
}

/** Status of the striped target. */
export interface StripedStatus {
  /** The devices, in the order of the table. */
  readonly stripes: readonly {
    /** The device number: `7:0`. */
    readonly device: string
    /** True if the device has had an I/O error since the table was loaded. */
    readonly failed: boolean
  }[]
}

const MAX_STRIPES = 65535

/** Stripes chunks across several devices in turn, as in RAID 0 (dm-stripe). */
export const striped = defineTarget<StripedTable, StripedStatus>({
  type: 'striped',
  options: ['chunkSectors', 'stripes'],
  format({ lengthSectors, chunkSectors, stripes }) {
    numberWord('chunkSectors', chunkSectors, { min: 1, max: 2 ** 31 })
    const count = listOf('stripes', stripes).length
    numberWord('the number of stripes', count, { min: 1, max: MAX_STRIPES })
    if (lengthSectors % (count * chunkSectors) !== 0) {
      const whole = `${count} stripes of ${chunkSectors} sectors`
      throw invalid(`lengthSectors must be a multiple of ${whole}, but is ${lengthSectors}`)
    }
    const pieces = stripes.flatMap((stripe, at) => pieceWords(`stripes[${at}]`, stripe))
    return [count, chunkSectors, ...pieces]
  },
  parseTable(reader) {
    const count = reader.number('number of stripes')
    const chunkSectors = reader.number('chunk size')
    const stripes: Stripe[] = []
    while (stripes.length < count) {
      stripes.push({ device: reader.word('device'), offsetSectors: reader.number('offset') })
    }
    return { chunkSectors, stripes }
  },
  parseStatus(reader) {
    const count = reader.number('number of stripes')
    const devices: string[] = []
    while (devices.length < count) devices.push(reader.word('device'))
    reader.number('number of words')
    const letters = reader.letters('health', ['A', 'D'], count)
    return { stripes: devices.map((device, at) => ({ device, failed: letters[at] === 'D' })) }
  },
})
