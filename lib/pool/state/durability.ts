// The durability of a pool's changes.
import { invalid, shown } from '../../base/options.js'

/**
 * The time at which a change of the pool resolves. `'committed'`: when the metadata on disk has it. `'lazy'`: when the
 * kernel has accepted it; a later `commit()` or `setTransactionId()` verifies it.
 */
export type Durability = 'committed' | 'lazy'

export function checkDurability(durability: unknown): Durability {
  if (durability === undefined) return 'committed'
  if (durability === 'committed' || durability === 'lazy') return durability
  throw invalid(`durability must be 'committed' or 'lazy', but is ${shown(durability)}`)
}
