// What a target is to this library: how its table is written, and how its lines are read. Every target here is made by
// defineTarget(), and so may be a user's own.
import type { Segment } from '../kernel/table.js'
import { checkOptions, checkNumber, invalid, shown } from '../base/options.js'
import { LineReader } from './line.js'
import { escapeWord, type Word } from './words.js'

/** What every table of a target has. */
export interface Sized {
  /** How much of the mapped device it makes up, in sectors of 512 bytes, from 1. */
  readonly lengthSectors: number
}

/** The reading half of a target: all that a line can be looked at with. */
export interface LineParser {
  /** The kernel's name of the target. */
  readonly type: string
  /** A table line of the kernel's, typed. Rejects with `DM_KERNEL`, naming the word that is not understood. */
  readonly parseTable: (line: Segment) => Sized
  /** A status line of the kernel's, typed; `null` for a target that has no status. */
  readonly parseStatus: (line: Segment) => unknown
}

/**
 * A target: called with its table it gives a segment for a mapped device. `parseTable` and `parseStatus` read what the
 * kernel prints, which is not always what it was given: devices come back as numbers, and some defaults in words.
 */
export interface Target<Table extends Sized, Status = null> extends LineParser {
  /** Throws `DM_INVALID_ARGUMENT`, naming the option, before the kernel is asked. */
  (table: Table): Segment
  /** A table line of the kernel's, typed. */
  readonly parseTable: (line: Segment) => Table
  /** A status line of the kernel's, typed; `null` for a target that has no status. */
  readonly parseStatus: (line: Segment) => Status
}

/** What `defineTarget` is told. */
export interface TargetDefinition<Table extends Sized, Status = null> {
  /** The kernel's name of the target, 1 to 15 bytes: `dmsetup targets` lists them. */
  readonly type: string
  /** The options of the table beside `lengthSectors`. Others are refused by name. */
  readonly options: readonly Exclude<keyof Table & string, 'lengthSectors'>[]
  /** The arguments in the kernel's order. Blanks and backslashes in them are escaped. Check the values here. */
  format(table: Table): readonly Word[]
  /** Takes the words of a table line one by one. What is left over at the end is from a newer kernel. */
  parseTable(reader: LineReader, line: Segment): Omit<Table, 'lengthSectors'>
  /** Likewise for a status line. Leave it out where the target prints none. */
  parseStatus?(reader: LineReader, line: Segment): Status
}

/** Makes a target of its own, equal in rank to those of this library. */
export function defineTarget<Table extends Sized, Status = null>(
  definition: TargetDefinition<Table, Status>,
): Target<Table, Status> {
  const { type, options } = definition
  const known = ['lengthSectors', ...options]
  const reader = (line: Segment, what: string) => {
    const { parameters } = checkLine(line, type)
    return new LineReader(`${type} ${what}`, parameters)
  }
  const segment = (table: Table): Segment => {
    checkOptions(table, known, type)
    const lengthSectors = checkNumber('lengthSectors', table.lengthSectors, { min: 1 })
    return { lengthSectors, type, parameters: definition.format(table).map(escapeWord).join(' ') }
  }
  return Object.assign(segment, {
    type,
    parseTable: (line: Segment): Table => {
      const read = definition.parseTable(reader(line, 'table'), line)
      return { lengthSectors: line.lengthSectors, ...read } as unknown as Table
    },
    parseStatus: (line: Segment): Status => {
      const words = reader(line, 'status')
      return definition.parseStatus ? definition.parseStatus(words, line) : (null as Status)
    },
  })
}

/** A target may be handed the line of another: then its words would be taken for something that they are not. */
function checkLine(line: unknown, type: string): Segment {
  if (typeof line !== 'object' || line === null) throw invalid(`a line must be an object, but is ${shown(line)}`)
  const found = line as Segment
  if (found.type !== type) throw invalid(`this is the line of a target ${shown(found.type)}, not of ${type}`)
  if (typeof found.parameters !== 'string') {
    throw invalid(`parameters must be text, but are ${shown(found.parameters)}`)
  }
  return found
}
