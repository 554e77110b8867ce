// The options of a pool that its table has: its record keeps them, and a running pool is compared with them.
import { count, truth, type JsonObject } from '../../base/json-fields.js'
import type { PoolTable, ThinPoolFeatures } from '../../target/thin-pool.js'

type Flags = Required<ThinPoolFeatures>
type Flag = keyof Flags

/** The flags, which are false by default. */
const FLAGS: readonly Flag[] = ['skipBlockZeroing', 'ignoreDiscard', 'noDiscardPassdown', 'readOnly', 'errorIfNoSpace']

export const TABLE_OPTIONS = ['lowWaterMarkBlocks', ...FLAGS] as const

/** Options of the pool's table, with the names that they have in `PoolOptions`. */
export interface TableOptions extends Flags {
  readonly lowWaterMarkBlocks: number
}

const flags = (valueOf: (name: Flag) => boolean): Flags =>
  Object.fromEntries(FLAGS.map(name => [name, valueOf(name)])) as unknown as Flags

/** Returns the options, with each flag as `valueOf` returns it. */
export const tableOptions = (lowWaterMarkBlocks: number, valueOf: (name: Flag) => boolean): TableOptions => ({
  lowWaterMarkBlocks,
  ...flags(valueOf),
})

export const optionsOf = (table: PoolTable): TableOptions => tableOptions(table.lowWaterBlocks, name => table[name])

/** Returns the options in a record. Throws TypeError if they are not valid. */
export const tableOptionsIn = (value: JsonObject): TableOptions =>
  tableOptions(count(value['lowWaterMarkBlocks']), name => truth(value[name]))

/** Returns the fields of the table for the options. */
export const fieldsFor = (options: TableOptions): Flags & Pick<PoolTable, 'lowWaterBlocks'> => ({
  lowWaterBlocks: options.lowWaterMarkBlocks,
  ...flags(name => options[name]),
})
