// Events of mapped devices.
import type { ListedDevice } from './device-port.js'
import type { Handle, HandlePort } from './handle.js'

export interface EventPort extends HandlePort {
  /** Opens a descriptor for events, for a single listener. `release` closes it. */
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
