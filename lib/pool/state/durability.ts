// When a change of a pool counts as made.
import { invalid, shown } from '../../base/options.js'

/**
 * `'committed'`: each change of the pool resolves when the metadata on disk has it. `'lazy'`: when the kernel has taken
 * it; what proves it is a later `commit()` or `setTransactionId()`.
 */
export type Durability = 'committed' | 'lazy'

export function checkDurability(durability: unknown): Durability {
  if (durability === undefined) return 'committed'
  if (durability === 'committed' || durability === 'lazy') return durability
  throw invalid(`durability must be 'committed' or 'lazy', but is ${shown(durability)}`)
}
