// What another program's records say of one of its layers; and holding those records to what they must be.
import { DmThinError } from '../../base/errors.js'
import { MAX_THIN_ID } from '../../base/units.js'
import type { LayerKind } from '../common/types.js'

/** `base`: the empty file system of all. `unknown`: a volume that only the record of the pool names. */
export type AdoptedKind = LayerKind | 'base' | 'unknown'

export interface ForeignRecord {
  readonly key: string
  /** `''` if it has no parent, or none that is recorded. */
  readonly parent: string
  readonly kind: AdoptedKind
  readonly thin: number
  readonly sizeBytes: number
  /** False: being made or removed when its program was last at it, or given up. */
  readonly isWhole: boolean
}

export interface ForeignRecords {
  readonly program: 'containerd' | 'docker'
  readonly poolName: string
  /** `transaction`: the pool's own; what is recorded for a later one was never finished. */
  read(transaction: bigint): Promise<ForeignRecord[]>
}

/** An object of JSON in which `device_id` and `size` are what a thin pool can have. */
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
  throw new DmThinError('DM_STORE_DATABASE', `${what} is no record of a thin volume`, { device: what })
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
