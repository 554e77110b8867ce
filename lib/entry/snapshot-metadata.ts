/**
 * Contains the server of changed-block tracking for Kubernetes: the snapshot metadata service of CSI.
 *
 * @module dm-thin/snapshot-metadata
 */
// snapshot-metadata.mts exports the same names for ESM.
export {
  serveSnapshotMetadata,
  type SnapshotMetadataOptions,
  type SnapshotMetadataServer,
} from '../snapshot-metadata/server.js'
export { poolSnapshots, snapshotId, type SnapshotsOptions } from '../snapshot-metadata/pool-snapshots.js'
export { storeSnapshots } from '../snapshot-metadata/store-snapshots.js'
export type { ServedSnapshot, SnapshotResolver } from '../snapshot-metadata/resolver.js'
export type { CsiDriver } from '../snapshot-metadata/driver.js'
export type { SignalOption } from '../base/options.js'
