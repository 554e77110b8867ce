// The fields of parsed JSON that others may have written. Each function throws TypeError for a value of another type.
import { SECTOR_BYTES } from './units.js'

export type JsonObject = Readonly<Record<string, unknown>>

function checked<T>(is: boolean, value: unknown): T {
  if (!is) throw new TypeError('a field is missing or has another type')
  return value as T
}

export const object = (value: unknown): JsonObject =>
  checked(typeof value === 'object' && value !== null && !Array.isArray(value), value)
export const list = (value: unknown): readonly unknown[] => checked(Array.isArray(value), value)
export const text = (value: unknown): string => checked(typeof value === 'string', value)
export const truth = (value: unknown): boolean => checked(typeof value === 'boolean', value)
/** Returns a whole number that is not negative. */
export const count = (value: unknown): number => checked(Number.isSafeInteger(value) && (value as number) >= 0, value)
/** Returns a number of bytes of whole sectors, at least one. */
export const wholeSectors = (value: unknown): number =>
  checked(count(value) > 0 && count(value) % SECTOR_BYTES === 0, value)
