// What `dm-thin/snapshotter` exports: a layer store as a snapshotter of containerd. snapshotter.mts names the same for ESM.
export { startSnapshotter, type Snapshotter, type SnapshotterOptions } from '../snapshotter/snapshotter.js'
export type { PoolDevices } from '../snapshotter/pools.js'
