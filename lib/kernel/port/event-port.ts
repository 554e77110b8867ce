// Events of mapped devices.
import type { ListedDevice } from './device-port.js'
import type { Handle, HandlePort } from './handle.js'

export interface EventPort extends HandlePort {
  /** A descriptor for events, of one listener alone. Closed by `release`. */
  openEvents(): Handle
  armEvents(events: Handle, signal?: AbortSignal): Promise<void>
  /** Waits, on a thread of its own, until something has happened since the last `armEvents`. */
  pollEvents(events: Handle, signal?: AbortSignal): Promise<void>
  /** With `poll`, waits for an event first; then arms and lists, in one native call. */
  nextList(
    events: Handle,
    filter: { name?: string; uuid?: string },
    poll: boolean,
    signal?: AbortSignal,
  ): Promise<ListedDevice[]>
}
