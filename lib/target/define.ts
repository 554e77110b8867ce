// Target definitions: the writer of a table and the parsers of its lines. Every target here is made by defineTarget(),
// which users can call for targets of their own.
import type { Segment } from '../kernel/table.js'
import { checkOptions, checkNumber, invalid, shown } from '../base/options.js'
import { LineReader } from './line.js'
import { escapeWord, type Word } from './words.js'

/** The field that every table of a target has. */
export interface Sized {
  /** Length of the segment in sectors of 512 bytes, from 1. */
  readonly lengthSectors: number
}

/** The parsers of a target's lines. */
export interface LineParser {
  /** The kernel's name of the target. */
  readonly type: string
  /** Parses a table line of the kernel. Throws `DM_KERNEL`, naming the word that is invalid. */
  readonly parseTable: (line: Segment) => Sized
  /** Parses a status line of the kernel; `null` for a target that has no status. */
  readonly parseStatus: (line: Segment) => unknown
}

/**
 * A target. Called with its table, it returns a segment for a mapped device. `parseTable` and `parseStatus` parse the
 * kernel's lines, which may differ from the table that was loaded: devices are numbers, and some defaults are explicit.
 */
export interface Target<Table extends Sized, Status = null> extends LineParser {
  /** Throws `DM_INVALID_ARGUMENT`, naming the option, before the kernel is called. */
  (table: Table): Segment
  /** Parses a table line of the kernel. */
  readonly parseTable: (line: Segment) => Table
  /** Parses a status line of the kernel; `null` for a target that has no status. */
  readonly parseStatus: (line: Segment) => Status
}

/** The argument of `defineTarget`. */
export interface TargetDefinition<Table extends Sized, Status = null> {
  /** The kernel's name of the target, 1 to 15 bytes. `dmsetup targets` lists the names. */
  readonly type: string
  /** The options of the table besides `lengthSectors`. Others are rejected by name. */
  readonly options: readonly Exclude<keyof Table & string, 'lengthSectors'>[]
  /** Returns the arguments in the kernel's order. Blanks and backslashes in them are escaped. Check the values here. */
  format(table: Table): readonly Word[]
  /** Parses a table line word by word. Words that are left at the end belong to a newer kernel. */
  parseTable(reader: LineReader, line: Segment): Omit<Table, 'lengthSectors'>
  /** Parses a status line likewise. Omit it if the target has no status. */
  parseStatus?(reader: LineReader, line: Segment): Status
}

/** Defines a target, with the same abilities as those of this library. */
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

/** Checks that the line belongs to this target: the words of another would be misinterpreted. */
function checkLine(line: unknown, type: string): Segment {
  if (typeof line !== 'object' || line === null) throw invalid(`a line must be an object, but is ${shown(line)}`)
  const found = line as Segment
  if (found.type !== type) throw invalid(`this is the line of a target ${shown(found.type)}, not of ${type}`)
  if (typeof found.parameters !== 'string') {
    throw invalid(`parameters must be text, but are ${shown(found.parameters)}`)
  }
  return found
}
