// The error target, on which all I/O fails (drivers/md/dm-target.c). It replaces a device that is gone.
import { defineTarget, type Sized } from './define.js'

/** Fails all I/O, in place of a device that is gone. */
export const error = defineTarget<Sized>({
  type: 'error',
  options: [],
  format: () => [],
  parseTable: () => ({}),
})
