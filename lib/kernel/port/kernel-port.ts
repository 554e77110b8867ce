// The kernel interface: the only place that calls the kernel, in the kernel's terms. Every call runs off the JavaScript
// thread and rejects with a DmThinError that carries the kernel's errno.
import type { DevicePort } from './device-port.js'
import type { EventPort } from './event-port.js'
import type { FilePort } from './file-port.js'
import type { LoopPort } from './loop-port.js'
import type { MountPort } from './mount-port.js'
import type { PoolPort } from './pool-port.js'
import type { UdevPort } from './udev-port.js'

/** The calls that every kernel has, including the memory kernel. */
export interface KernelPort extends DevicePort, PoolPort, UdevPort, EventPort, LoopPort, FilePort, MountPort {
  /** Returns CLOCK_REALTIME: nanoseconds since 1970. */
  wallClock(): bigint
}
