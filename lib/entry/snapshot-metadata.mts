// The ESM entry of snapshot-metadata.ts: see index.mts.
export type * from './snapshot-metadata.js'
export { poolSnapshots, serveSnapshotMetadata, snapshotId, storeSnapshots } from './snapshot-metadata.js'
