// Any target, by its words.
import type { Segment } from '../kernel/table.js'
import { checkOptions, checkText, checkNumber, invalid, shown } from '../base/options.js'
import type { Sized } from './define.js'
import { escapeWord, type Word } from './words.js'

/** A segment by its words. */
export interface GenericTable extends Sized {
  /** The kernel's name of the target, 1 to 15 bytes. */
  readonly type: string
  /** Text goes to the kernel as it is; an array is joined, blanks and backslashes in its words escaped. */
  readonly parameters: string | readonly Word[]
}

/** A segment of a target that this library has no words for: `switch`, `multipath`, `vdo`, one of the user's own. */
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
