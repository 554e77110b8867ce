// Resolvers: they find the volume of a snapshot by the id of a request.
import type { SignalOption } from '../base/options.js'
import type { ThinPool } from '../pool/thin-pool.js'

/** A snapshot that a resolver has found. Nobody must write its volume. */
export interface ServedSnapshot {
  /** The running pool of the volume, or the path of its metadata at rest. */
  readonly pool: ThinPool | string
  /** The thin id of the volume. */
  readonly id: number
  /** The size of the volume in bytes. */
  readonly sizeBytes: number
}

/** The object that finds snapshots by the ids of requests. `poolSnapshots` and `storeSnapshots` return one. */
export interface SnapshotResolver {
  /** Returns the snapshot with this id. Rejects with `DM_VOLUME_NOT_FOUND` or `DM_LAYER_NOT_FOUND` if there is none. */
  snapshot(id: string, options: SignalOption): Promise<ServedSnapshot>
  /**
   * Returns the path of the bookmark of a snapshot that was deleted; undefined if there is none, which is also the default.
   * Called if `snapshot` rejects for the base of a delta. Rejects with errors of the file system.
   */
  bookmark?(id: string, options: SignalOption): Promise<string | undefined>
}
