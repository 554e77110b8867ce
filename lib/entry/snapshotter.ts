/**
 * Contains the server that makes a layer store a snapshotter for containerd.
 *
 * @module dm-thin/snapshotter
 */
export { startSnapshotter, type Snapshotter, type SnapshotterOptions } from '../snapshotter/snapshotter.js'
export type { PoolDevices } from '../snapshotter/pools.js'
