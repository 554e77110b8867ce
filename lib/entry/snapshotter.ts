/**
 * Contains the server that makes a layer store a snapshotter of containerd.
 *
 * @module dm-thin/snapshotter
 */
// snapshotter.mts names the same for ESM.
export { startSnapshotter, type Snapshotter, type SnapshotterOptions } from '../snapshotter/snapshotter.js'
export type { PoolDevices } from '../snapshotter/pools.js'
