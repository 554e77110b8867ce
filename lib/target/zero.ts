// The zero target: reads return zeros, writes are dropped (drivers/md/dm-zero.c).
import { defineTarget, type Sized } from './define.js'

/** Returns zeros for reads, and drops writes (dm-zero). */
export const zero = defineTarget<Sized>({
  type: 'zero',
  options: [],
  format: () => [],
  parseTable: () => ({}),
})
