/**
 * Contains thin pools, thin volumes, loop devices, block devices, mounts and events.
 *
 * @module dm-thin
 */

export { DmThinError, type ErrorCode, type ErrorFacts, type Holder, type RollbackStep } from '../base/errors.js'
export type { SignalOption } from '../base/options.js'
export { KiB, MiB, GiB, TiB, SECTOR_BYTES } from '../base/units.js'
export { LoopDevice, type LoopAttachOptions, type LoopWaitOptions } from '../block/loop-device.js'
export type { LoopStatus } from '../kernel/port/loop-port.js'
export type { Kernel, KernelOption } from '../kernel/kernel-option.js'
export { watchDevices, Watch, type DeviceWatch, type DeviceWatchOptions } from '../events/device-watch.js'
export type { DeviceEvent } from '../events/device-changes.js'
export type { Overflow } from '../events/event-queue.js'
export type {
  PoolConditionEvent,
  PoolEvent,
  PoolFailedEvent,
  PoolModeEvent,
  PoolRemovedEvent,
  PoolWatch,
} from '../pool/pool-events.js'
export {
  alignedBuffer,
  BlockDevice,
  type BlockFlushOptions,
  type BlockOpenOptions,
  type BlockRange,
} from '../block/block-device.js'
export type { BlockInfo } from '../kernel/port/machine-port.js'
export type { GrownFileSystem } from '../kernel/port/machine-port.js'
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
} from '../filesystem/mount.js'
export {
  freeze,
  growFileSystem,
  thaw,
  trim,
  whileFrozen,
  type FrozenFileSystem,
  type FrozenOptions,
  type TrimOptions,
} from '../filesystem/freeze-trim-grow.js'
export { detectFileSystem, type DetectedFileSystem } from '../filesystem/detect.js'
export type { FileSystemType, Superblock } from '../filesystem/superblocks.js'
export { ThinPool, type RepairedPool } from '../pool/thin-pool.js'
export { ThinVolume } from '../pool/volume/thin-volume.js'
export type { Bookmark, BookmarkOptions, WalkOptions, WalkProgress } from '../pool/metadata-read/walk.js'
export type { DeltaRange } from '../metadata/ranges.js'
export type {
  ActivateOptions,
  CreateVolumeOptions,
  DeactivateOptions,
  GrowVolumeOptions,
  ExternalOriginOption,
  FindVolumeOptions,
  SnapshotOptions,
} from '../pool/volume/volume-options.js'
export { Keeper } from '../pool/keeper/keeper.js'
export type { ExtendRequest, Growth, GrowthOptions, KeepOptions, PoolRole } from '../pool/keeper/keep-options.js'
export { POOL_MODES, type PoolMetrics, type VolumeSpace } from '../pool/metrics.js'
export type { ReserveOptions } from '../pool/state/space-reserve.js'
export type { GrowOptions } from '../pool/lifecycle/grow.js'
export type { MetadataSnapshot } from '../pool/metadata-read/metadata-snapshot.js'
export type { SetTransactionIdOptions } from '../pool/state/transaction-id.js'
export type { CreatePoolOptions, DeviceSource, OpenPoolOptions, PoolOptions } from '../pool/lifecycle/pool-options.js'
export { volumesOf, type ManyOptions, type Progress, type VolumeResult } from '../pool/volume/batch.js'
export type { MetadataAtRest, MetadataCheck } from '../pool/check/check-before-start.js'
export type { CheckDepth } from '../pool/check/examine-metadata.js'
export type { PoolCheck, PoolState } from '../pool/check/pool-states.js'
export type { CheckPoolOptions, RepairOptions, RepairPoolOptions } from '../pool/repair/repair-options.js'
export type { Repair, RepairedVolume } from '../pool/repair/repair-metadata.js'
export type { Finding } from '../pool/lifecycle/crash-recovery.js'
export type { RemovedPool, RemovePoolOptions } from '../pool/lifecycle/remove.js'
export type { Durability } from '../pool/state/durability.js'
export type { SnapshotsStatus } from '../pool/state/snapshot-clock.js'
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
} from '../pool/state/status.js'
export type { PoolMode } from '../target/thin-pool.js'
