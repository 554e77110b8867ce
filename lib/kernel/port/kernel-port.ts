// The kernel interface: the only place that calls the kernel, in the kernel's terms. Every call runs off the JavaScript
// thread and rejects with a DmThinError that carries the kernel's errno.
import type { DevicePort, ListedDevice } from './device-port.js'
import type { FilePort } from './file-port.js'
import type { LoopPort } from './loop-port.js'
import type { MountPort } from './mount-port.js'
import type { PoolPort } from './pool-port.js'
import type { UdevPort } from './udev-port.js'
import type { Handle } from './handle.js'

/** The calls that every kernel has, including the memory kernel. */
export interface KernelPort extends DevicePort, PoolPort, UdevPort, LoopPort, FilePort, MountPort {
  /** Returns CLOCK_REALTIME: nanoseconds since 1970. */
  wallClock(): bigint

  /** Opens a descriptor for events of mapped devices, for a single listener. `release` closes it. */
  openEvents(): Handle
  armEvents(events: Handle, signal?: AbortSignal): Promise<void>
  /** Waits, on a thread of its own, for an event since the last `armEvents`. */
  pollEvents(events: Handle, signal?: AbortSignal): Promise<void>
  /** Arms the descriptor and lists the devices, in one native call. With `poll`, waits for an event first. */
  nextList(
    events: Handle,
    filter: { name?: string; uuid?: string },
    poll: boolean,
    signal?: AbortSignal,
  ): Promise<ListedDevice[]>
}
