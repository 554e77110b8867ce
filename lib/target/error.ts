// The error target: all I/O fails (drivers/md/dm-target.c). What is behind a device that went away.
import { defineTarget, type Sized } from './define.js'

/** All I/O fails. What is put behind a device that went away. */
export const error = defineTarget<Sized>({
  type: 'error',
  options: [],
  format: () => [],
  parseTable: () => ({}),
})
