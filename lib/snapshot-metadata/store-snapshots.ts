// The resolver for the committed layers of a store.
import { invalid } from '../base/options.js'
import { LayerStore } from '../store/layer-store.js'
import { bookmarkIn } from './bookmarks.js'
import { checkSnapshots, type SnapshotsOptions } from './pool-snapshots.js'
import type { SnapshotResolver } from './resolver.js'

/**
 * Returns a resolver for the committed layers of a store. The id of a request is the key of a layer. An active layer or a
 * view is rejected with `DM_LAYER_STATE`.
 *
 * Throws `DM_INVALID_ARGUMENT`.
 */
export function storeSnapshots(store: LayerStore, options: SnapshotsOptions = {}): SnapshotResolver {
  if (!(store instanceof LayerStore)) throw invalid('storeSnapshots: the first argument must be a LayerStore')
  const bookmarks = checkSnapshots(options, 'storeSnapshots')
  return {
    snapshot: id => store.committedVolume(id),
    bookmark: async id => bookmarkIn(bookmarks, id),
  }
}
