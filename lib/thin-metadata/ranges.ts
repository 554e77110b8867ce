// Ranges as the native walks return them.
import { checkNumber } from '../base/options.js'
import type { DeltaRange, MappedRange } from '../metadata/ranges.js'
import type { WalkOptions, WalkProgress } from './options.js'

// The format of native/metadata/range_list.h.
const HEADER = 3
const NUMBERS = 7
const TYPES = ['leftOnly', 'rightOnly', 'different', 'same'] as const

/** Checks the range of a walk and returns it for the native call. */
export function checkSpan({ from = 0, to = Number.MAX_SAFE_INTEGER }: WalkOptions): { from: number; to: number } {
  return { from: checkNumber('from', from, { min: 0 }), to: checkNumber('to', to, { min: 0 }) }
}

/** Returns true for the last batch of a walk. */
export const isLast = (batch: Float64Array): boolean => batch[0] === 1

export const progressOf = (batch: Float64Array): WalkProgress => ({ nodes: batch[1]!, block: batch[2]! })

/** Returns the mappings in a batch. */
export function* mappedRangesIn(batch: Float64Array): Generator<MappedRange> {
  for (let at = HEADER; at < batch.length; at += NUMBERS) {
    yield { begin: batch[at + 1]!, length: batch[at + 2]!, data: batch[at + 3]!, time: batch[at + 4]! }
  }
}

/** Returns the differences in a batch. */
export function* deltaRangesIn(batch: Float64Array, withData: boolean): Generator<DeltaRange> {
  for (let at = HEADER; at < batch.length; at += NUMBERS) {
    const type = TYPES[batch[at]! - 1]!
    const range = { type, begin: batch[at + 1]!, length: batch[at + 2]! }
    if (!withData) yield range
    else
      yield {
        ...range,
        ...(type !== 'rightOnly' && { leftData: batch[at + 3]! }),
        ...(type !== 'leftOnly' && { rightData: batch[at + 5]! }),
      }
  }
}
