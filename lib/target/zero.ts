// The zero target: reads give zeros, writes are dropped (drivers/md/dm-zero.c).
import { defineTarget, type Sized } from './define.js'

/** Reads give zeros, writes are dropped (dm-zero). */
export const zero = defineTarget<Sized>({
  type: 'zero',
  options: [],
  format: () => [],
  parseTable: () => ({}),
})
