/**
 * Contains the device mapper below the pool API: its commands, mapped devices, and the tables and statuses of targets.
 *
 * @module dm-thin/kernel
 */
export { DeviceMapper } from '../mapper/device-mapper.js'
export type {
  Address,
  CreateDeviceOptions,
  DeviceEventResult,
  DeviceGeometry,
  DeviceMessageOptions,
  EventPoll,
  ListEntry,
  ListFilter,
  LoadTableOptions,
  MessageOptions,
  ReadOptions,
  RemoveAllOptions,
  RemoveDeviceOptions,
  StatusOptions,
  SuspendOptions,
  WaitOptions,
  WithUdev,
} from '../mapper/command-options.js'
export type { Capabilities, InterfaceFeature } from '../mapper/capabilities.js'
export type { SignalOption } from '../base/options.js'
export type { MappedDeviceInfo } from '../mapper/device-info.js'
export { trace, type CallMessage } from '../kernel/trace/diagnostics.js'
export { mangleName, unmangleName } from '../kernel/kernel-names.js'
export type { TargetLine, TargetVersion } from '../kernel/port/device-port.js'
export { UdevTransaction, type UdevRules, type UdevWaitOptions } from '../mapper/udev-transaction.js'
export type { Segment } from '../kernel/table.js'
export {
  MappedDevice,
  type CreateMappedDeviceOptions,
  type RemoveMappedDeviceOptions,
  type ReplaceTableOptions,
} from '../mapper/mapped-device.js'
export { treeText, type DeviceTree } from '../mapper/device-tree.js'
export { defineTarget, type LineParser, type Sized, type Target, type TargetDefinition } from '../target/define.js'
export type { LineReader } from '../target/line.js'
export type { Word } from '../target/words.js'
export {
  knownTargets,
  parseStatusLine,
  parseTableLine,
  type ParsedOwnStatus,
  type ParsedOwnTable,
  type ParsedStatus,
  type ParsedTable,
} from '../target/known.js'
export { generic, type GenericTable } from '../target/generic.js'
export { linear, type LinearTable } from '../target/linear.js'
export { striped, type Stripe, type StripedStatus, type StripedTable } from '../target/striped.js'
export { error } from '../target/error.js'
export { zero } from '../target/zero.js'
export { delay, type DelayClass, type DelayStatus, type DelayTable } from '../target/delay.js'
export { flakey, type CorruptBioByte, type FlakeyFeatures, type FlakeyTable } from '../target/flakey.js'
export { logWrites, type LogWritesStatus, type LogWritesTable } from '../target/log-writes.js'
export {
  snapshot,
  snapshotMerge,
  snapshotOrigin,
  type SnapshotFeatures,
  type SnapshotOriginTable,
  type SnapshotStatus,
  type SnapshotTable,
} from '../target/snapshot.js'
export {
  thinPool,
  type FailedPoolStatusLine,
  type PoolMode,
  type PoolStatusLine,
  type ThinPoolFeatures,
  type ThinPoolTable,
} from '../target/thin-pool.js'
export { thin, type ThinStatusLine, type ThinVolumeTable } from '../target/thin.js'
export { crypt, type CryptOptions, type CryptTable } from '../target/crypt.js'
export { cache, type CacheFeatures, type CacheStatus, type CacheTable } from '../target/cache.js'
export {
  writecache,
  type WritecacheOptions,
  type WritecacheStatus,
  type WritecacheTable,
} from '../target/writecache.js'
export { era, type EraStatus, type EraTable } from '../target/era.js'
export { verity, type VerityOptions, type VerityStatus, type VerityTable } from '../target/verity.js'
export { integrity, type IntegrityOptions, type IntegrityStatus, type IntegrityTable } from '../target/integrity.js'
export { raid, type RaidDevice, type RaidOptions, type RaidStatus, type RaidTable } from '../target/raid.js'
export {
  mirror,
  type MirrorCopy,
  type MirrorFeatures,
  type MirrorHealth,
  type MirrorLog,
  type MirrorStatus,
  type MirrorTable,
} from '../target/mirror.js'
