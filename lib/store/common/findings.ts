// Inconsistencies between the store's records, the pool and the kernel.
import type { DmThinError } from '../../base/errors.js'

/** An inconsistency that was found, and the action that was taken. */
export interface StoreFinding {
  /**
   * `unfinished`: a call whose process ended before the call did. `left-mounted`: a mount of such a call.
   * `layer-without-volume`: the pool has no volume for the layer, and its content is lost. `volume-without-layer`: the
   * pool has a volume without a record; its id is not used until an operator decides. `transaction-behind`: the pool is
   * older than the records, for example because its metadata was restored from a copy. `transaction-ahead`: the pool is
   * far newer than the records, for example because the records were restored from a copy. `active-twice`: one volume has
   * two devices, whose writes conflict. `foreign-device`: another program activated a volume. `leaked-loop`: a loop device
   * of the pool's file that the pool does not use. `removal-stuck`: a removed layer whose volume is still in use.
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
  /** The layer's key, if it has one. */
  readonly key?: string
  /** The thin id of the volume, if the finding is about one. */
  readonly thin?: number
  /** The folder, the device, or the two numbers that differ. */
  readonly detail?: string
  /**
   * `undone`: the unfinished call was reverted. `completed`: the unfinished reset was completed. `unmounted`: the folder was unmounted. `retired`: the thin id is not used
   * again. `deleted`: the record or the volume was deleted. `detached`: the loop device was detached. `accepted`: the
   * records continue from the state of the pool. `none`: nothing was changed.
   */
  readonly action: 'undone' | 'completed' | 'unmounted' | 'retired' | 'deleted' | 'detached' | 'accepted' | 'none'
  /** The reason why the removal is stuck, or why the action failed. */
  readonly error?: DmThinError
}
