// udev: what it is told of a call, and waiting for it.
import type { Handle, HandlePort } from './handle.js'

/** What udev is told of a call. Default: UDEV_NO_PROBING, without a transaction. */
export interface UdevOptions {
  /** Bits of udev.ts. */
  readonly flags: number
  readonly transaction: Handle | 0
}

export interface UdevPort extends HandlePort {
  /** A udev transaction: a semaphore that udev counts down. Gone after `udevWait`, or with `release`. */
  udevBegin(signal?: AbortSignal): Promise<Handle>
  /** Until udev has gone through everything announced. Rejects with DM_UDEV_TIMEOUT after `limitMs`. */
  udevWait(transaction: Handle, limitMs: number, signal?: AbortSignal): Promise<void>
  /** Takes away what dead processes left; gives how many there were. */
  udevSweep(signal?: AbortSignal): Promise<number>
}
