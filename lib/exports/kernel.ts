// What `dm-thin/kernel` exports: the device mapper below the facade. kernel.mts names the same for ESM.
export { DeviceMapper } from '../kernel/device-mapper.js'
export type {
  Address,
  DeviceEventResult,
  EventPoll,
  ListEntry,
  ListFilter,
  ReadOptions,
  StatusOptions,
  SuspendOptions,
  WithSignal,
  WithUdev,
} from '../kernel/device-mapper.js'
export type { Capabilities, InterfaceFeature } from '../kernel/capabilities.js'
export type { MappedDeviceInfo } from '../kernel/device-info.js'
export { trace, type CallMessage } from '../kernel/diagnostics.js'
export { mangleName, unmangleName } from '../kernel/kernel-names.js'
export type { TargetLine, TargetVersion } from '../kernel/port.js'
export { UdevTransaction, type UdevRules, type UdevWaitOptions } from '../kernel/udev-transaction.js'
export type { Segment } from '../kernel/table.js'
