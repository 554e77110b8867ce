// Where the store's records, the pool and the kernel do not agree.
import type { DmThinError } from '../../base/errors.js'

/** An inconsistency that was found, and what was done about it. */
export interface StoreFinding {
  /**
   * `unfinished`: a call that its process did not live to end. `left-mounted`: a mount of such a call.
   * `layer-without-volume`: the pool has no volume for it: its content is lost. `volume-without-layer`: the pool has a
   * volume that the store knows nothing of; its id is not used until somebody decides. `transaction-behind`: the pool is
   * older than the records, as after its metadata was restored from a copy. `transaction-ahead`: the pool is far newer
   * than the records, as after those were restored from a copy. `active-twice`: one volume with two devices,
   * which write past each other. `foreign-device`: another program activated a volume. `leaked-loop`: a loop device over
   * the pool's file that the pool does not use. `removal-stuck`: a removed layer that somebody still uses.
   */
  readonly kind:
    | 'unfinished'
    | 'left-mounted'
    | 'layer-without-volume'
    | 'volume-without-layer'
    | 'transaction-behind'
    | 'transaction-ahead'
    | 'active-twice'
    | 'foreign-device'
    | 'leaked-loop'
    | 'removal-stuck'
  /** The layer's key, where it has one. */
  readonly key?: string
  /** The thin id. */
  readonly thin?: number
  /** A folder, a device, or the two numbers that differ. */
  readonly detail?: string
  /**
   * `undone`, `unmounted`, `retired`, `deleted`, `detached`; `accepted`: the records go on from where the pool is; `none`: it
   * was left as it is.
   */
  readonly action: 'undone' | 'unmounted' | 'retired' | 'deleted' | 'detached' | 'accepted' | 'none'
  /** Why it is stuck, or why the action failed. */
  readonly error?: DmThinError
}
