/**
 * Contains thin pools, thin volumes, loop devices, block devices, mounts and events.
 *
 * @module dm-thin
 */
// index.mts names the same for ESM; a test holds the two together.
export { DmThinError, type ErrorCode, type ErrorFacts, type Holder, type RollbackStep } from './errors.js'
export type { SignalOption } from './names.js'
export { KiB, MiB, GiB, TiB, SECTOR_BYTES } from './units.js'
export { LoopDevice, type LoopAttachOptions, type LoopWaitOptions } from './device/loop-device.js'
export type { LoopStatus } from './kernel/port.js'
export type { Kernel, KernelOption } from './kernel/kernel.js'
export { watchDevices, Watch, type DeviceWatch, type DeviceWatchOptions } from './device/device-watch.js'
export type { DeviceEvent } from './device/device-changes.js'
export type { Overflow } from './device/event-queue.js'
export type { PoolEvent, PoolWatch } from './pool/pool-events.js'
export {
  alignedBuffer,
  BlockDevice,
  type BlockFlushOptions,
  type BlockOpenOptions,
  type BlockRange,
} from './device/block-device.js'
export type { BlockInfo, GrownFileSystem } from './kernel/block-port.js'
export {
  bindMount,
  holdersOf,
  mount,
  remount,
  setPropagation,
  unmount,
  type BindOptions,
  type MountFlags,
  type MountOptions,
  type Propagation,
  type PropagationOptions,
  type RemountOptions,
  type UnmountOptions,
} from './device/mount.js'
export {
  freeze,
  growFileSystem,
  thaw,
  trim,
  whileFrozen,
  type FrozenFileSystem,
  type FrozenOptions,
  type TrimOptions,
} from './device/file-system.js'
export { detectFileSystem, type DetectedFileSystem } from './device/detect.js'
export type { FileSystemType, Superblock } from './device/superblocks.js'
export { ThinPool } from './pool/thin-pool.js'
export { ThinVolume } from './pool/thin-volume.js'
export type {
  ActivateOptions,
  CreateVolumeOptions,
  DeactivateOptions,
  ExternalOriginOption,
  FindVolumeOptions,
  SnapshotOptions,
} from './pool/volume-options.js'
export type { GrowOptions } from './pool/grow.js'
export type { MetadataSnapshot } from './pool/metadata-snapshot.js'
export type { SetTransactionIdOptions } from './pool/transaction-id.js'
export type { CreatePoolOptions, DeviceSource, OpenPoolOptions, PoolOptions } from './pool/options.js'
export { volumesOf, type ManyOptions, type Progress, type VolumeResult } from './pool/batch.js'
export type { MetadataAtRest, MetadataCheck } from './pool/check.js'
export type { Finding } from './pool/repair.js'
export type { RemovedPool, RemovePoolOptions } from './pool/remove.js'
export type { Durability } from './pool/durability.js'
export type { SnapshotsStatus } from './pool/snapshot-clock.js'
export type {
  FailedPoolStatus,
  PoolStatus,
  PoolStatusBase,
  SpaceStatus,
  UnknownVolumeStatus,
  VolumeStatus,
  VolumeUsage,
  WorkingPoolStatus,
  WorkingVolumeStatus,
} from './pool/status.js'
export type { PoolMode } from './target/thin-pool.js'
