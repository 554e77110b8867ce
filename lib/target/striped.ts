// The striped target: chunks of several devices in turn, as RAID 0 has them (drivers/md/dm-stripe.c).
import { invalid } from '../base/options.js'
import { defineTarget, type Sized } from './define.js'
import { listOf, numberWord, pieceWords } from './words.js'

/** A device of a striped target, from an offset on. */
export interface Stripe {
  /** `7:0`, or a path. */
  readonly device: string
  /** Where it begins on the device, in sectors. Default 0. */
  readonly offsetSectors?: number
}

/** Its length must be a whole number of chunks on each device. */
export interface StripedTable extends Sized {
  /** How much of one device comes before the next has its turn, in sectors, from 1. */
  readonly chunkSectors: number
  /** At least one. */
  readonly stripes: readonly Stripe[]
}

/** Status of the striped target. */
export interface StripedStatus {
  /** `failed`: the device has had errors since the table was loaded. */
  readonly stripes: readonly { readonly device: string; readonly failed: boolean }[]
}

const MAX_STRIPES = 65535

/** Chunks of several devices in turn, as RAID 0 has them (dm-stripe). */
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
