// The interface to the kernel: what the folders above may ask for, in the kernel's words. Everything here runs off the
// JavaScript thread and rejects with a DmThinError that carries the kernel's errno.
import type { BlockPort } from './block-port.js'
import type { DevicePort } from './device-port.js'
import type { EventPort } from './event-port.js'
import type { FilePort } from './file-port.js'
import type { FileSystemPort } from './file-system-port.js'
import type { LoopPort } from './loop-port.js'
import type { MountPort } from './mount-port.js'
import type { PoolPort } from './pool-port.js'
import type { TreePort } from './tree-port.js'
import type { UdevPort } from './udev-port.js'

/** What every kernel has, the one in memory too. */
export interface KernelPort extends DevicePort, PoolPort, UdevPort, EventPort, LoopPort, FilePort, MountPort {
  /** CLOCK_REALTIME: nanoseconds since 1970. */
  wallClock(): bigint
}

/** What the machine's own kernel has besides. */
export interface MachinePort extends KernelPort, BlockPort, FileSystemPort, TreePort {}
