/**
 * Contains the server of changed-block tracking for Kubernetes: the snapshot metadata service of CSI.
 *
 * @module dm-thin/snapshot-metadata
 */
export {
  serveSnapshotMetadata,
  type CsiDriver,
  type SnapshotMetadataOptions,
  type SnapshotMetadataServer,
} from '../snapshot-metadata/server.js'
export {
  poolSnapshots,
  snapshotId,
  storeSnapshots,
  type ServedSnapshot,
  type SnapshotResolver,
  type SnapshotsOptions,
} from '../snapshot-metadata/resolvers.js'
export type { SignalOption } from '../base/options.js'
