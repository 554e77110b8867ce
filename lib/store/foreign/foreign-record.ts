// The record of another program for one of its layers, and the validation of such records.
import { DmThinError } from '../../base/errors.js'
import { MAX_THIN_ID } from '../../base/units.js'
import type { LayerKind } from '../common/layer-types.js'

/** The kind of a layer. `base`: the base volume. `unknown`: a volume that only the records of the pool name. */
export type AdoptedKind = LayerKind | 'base' | 'unknown'

export interface ForeignRecord {
  readonly key: string
  /** The key of the parent; `''` if there is no parent, or no record of it. */
  readonly parent: string
  readonly kind: AdoptedKind
  readonly thin: number
  readonly sizeBytes: number
  /** True if the layer is complete. False if its program was creating or removing it, or has abandoned it. */
  readonly isWhole: boolean
}

export interface ForeignRecords {
  readonly program: 'containerd' | 'docker'
  readonly poolName: string
  /** Reads the records. `transaction` is the pool's id: volumes that are recorded for a later one were never finished. */
  read(transaction: bigint): Promise<ForeignRecord[]>
}

/** Parses a JSON object. Throws `DM_STORE_DATABASE` if its `device_id` or `size` is not valid for a thin pool. */
export function deviceOf(
  what: string,
  text: string,
): { thin: number; sizeBytes: number; rest: Record<string, unknown> } {
  const found = parsed(text)
  const { device_id: thin, size, ...rest } = found ?? {}
  const isThin = Number.isInteger(thin) && (thin as number) >= 0 && (thin as number) <= MAX_THIN_ID
  if (isThin && Number.isSafeInteger(size) && (size as number) > 0 && (size as number) % 512 === 0) {
    return { thin: thin as number, sizeBytes: size as number, rest }
  }
  throw new DmThinError('DM_STORE_DATABASE', `${what} is not a record of a thin volume`, { device: what })
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
