// The linear target: a range of another device (drivers/md/dm-linear.c).
import { defineTarget, type Sized } from './define.js'
import { deviceWord, offsetWord } from './words.js'

/** The table of the linear target: a range of another device. */
export interface LinearTable extends Sized {
  /** The device: `7:0`, or a path. */
  readonly device: string
  /** Start on the device, in sectors. Default 0. */
  readonly offsetSectors?: number
}

/** Maps a range of another device (dm-linear). */
export const linear = defineTarget<LinearTable>({
  type: 'linear',
  options: ['device', 'offsetSectors'],
  format: ({ device, offsetSectors }) => [deviceWord('device', device), offsetWord('offsetSectors', offsetSectors)],
  parseTable: reader => ({ device: reader.word('device'), offsetSectors: reader.number('offset') }),
})
