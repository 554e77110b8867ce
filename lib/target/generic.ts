// Segments of any target, from its words.
import type { Segment } from '../kernel/table.js'
import { checkOptions, checkText, checkNumber, invalid, shown } from '../base/options.js'
import type { Sized } from './define.js'
import { escapeWord, type Word } from './words.js'

/** The table of any target, as words. */
export interface GenericTable extends Sized {
  /** The kernel's name of the target, 1 to 15 bytes. */
  readonly type: string
  /**
   * The target's arguments. A text is passed to the kernel unchanged; the words of an array are escaped (blanks and
   * backslashes) and joined.
   */
  readonly parameters: string | readonly Word[]
}

/**
 * Returns a segment of a target that this library does not define: `switch`, `multipath`, `vdo`, one of the user's own.
 */
export function generic(table: GenericTable): Segment {
  checkOptions(table, ['lengthSectors', 'type', 'parameters'], 'generic')
  const { type, parameters } = table
  if (typeof type !== 'string' || type === '') throw invalid(`type must be a target's name, but is ${shown(type)}`)
  return {
    lengthSectors: checkNumber('lengthSectors', table.lengthSectors, { min: 1 }),
    type,
    parameters:
      typeof parameters === 'object' && Array.isArray(parameters)
        ? parameters.map(escapeWord).join(' ')
        : checkText('parameters', parameters),
  }
}
