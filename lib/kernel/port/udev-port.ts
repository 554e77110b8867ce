// udev: the flags of a call for it, and waiting for it.
import type { Handle, HandlePort } from './handle.js'

/** The udev flags of a call. Default: UDEV_NO_PROBING, without a transaction. */
export interface UdevOptions {
  /** Bits of udev.ts. */
  readonly flags: number
  readonly transaction: Handle | 0
}

export interface UdevPort extends HandlePort {
  /** Begins a udev transaction: a semaphore that udev counts down. `udevWait` or `release` removes it. */
  udevBegin(signal?: AbortSignal): Promise<Handle>
  /** Waits until udev has handled all announced events. Rejects with DM_UDEV_TIMEOUT after `limitMs`. */
  udevWait(transaction: Handle, limitMs: number, signal?: AbortSignal): Promise<void>
  /** Removes the semaphores that crashed processes left. Returns their number. */
  udevSweep(signal?: AbortSignal): Promise<number>
}
