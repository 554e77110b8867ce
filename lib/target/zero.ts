// The zero target: reads give zeros, writes are dropped (drivers/md/dm-zero.c).
import { defineTarget, type Sized } from './define.js'

export const zero = defineTarget<Sized>({
  type: 'zero',
  options: [],
  format: () => [],
  parseTable: () => ({}),
})
