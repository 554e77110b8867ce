// Many calls, one wait for udev, and never a hang.
import { DmThinError } from '../base/errors.js'
import { checkBoolean, checkOptions, type SignalOption, checkNumber, invalid } from '../base/options.js'
import type { UdevOptions, UdevPort } from '../kernel/port/udev-port.js'
import type { Handle } from '../kernel/port/handle.js'
import { UDEV_FLAG, whyNoUdev } from '../kernel/udev.js'

/** Which of udev's rules are not to run for what is done in the transaction. Default: all run. */
export interface UdevRules {
  /** No links in /dev/mapper. */
  readonly disableDmRules?: boolean
  /** No scan by LVM and the like. */
  readonly disableSubsystemRules?: boolean
  /** No links in /dev/disk, no look at the content. */
  readonly disableDiskRules?: boolean
  /** Nothing of desktops and the like. */
  readonly disableOtherRules?: boolean
  /** Weak links: another device with the same link wins. */
  readonly lowPriority?: boolean
}

/** Options of `UdevTransaction.finish`. */
export interface UdevWaitOptions extends SignalOption {
  /** How long udev may take, in milliseconds. Default 30 000. */
  readonly timeoutMs?: number
}

/** @internal */
export const UDEV_RULE_NAMES = [
  'disableDmRules',
  'disableSubsystemRules',
  'disableDiskRules',
  'disableOtherRules',
  'lowPriority',
] as const
const DEFAULT_TIMEOUT_MS = 30_000

/**
 * Calls whose uevents udev handles before `finish()` resolves. Pass it as `udev` to `resume`, `remove`, `rename` and
 * `setUuid`, then `finish()`. Of each transaction the semaphore is taken away on every path: finished, timed out,
 * aborted, cancelled, or left by a process that died.
 */
export class UdevTransaction {
  readonly #port: UdevPort
  readonly #handle: Handle | 0
  readonly #flags: number
  #ended = false
  #released: Promise<void> | undefined
  /** Whether there is a udev to wait for. Without it there is no semaphore, and `finish()` returns at once. */
  readonly synchronized: boolean
  /** Why not, in words. */
  readonly reason: string | undefined

  private constructor(port: UdevPort, handle: Handle | 0, flags: number, reason: string | undefined) {
    this.#port = port
    this.#handle = handle
    this.#flags = flags
    this.synchronized = handle !== 0
    this.reason = reason
  }

  /** @internal */
  static async begin(port: UdevPort, rules: UdevRules, signal?: AbortSignal): Promise<UdevTransaction> {
    const chosen = UDEV_RULE_NAMES.filter(name => checkBoolean(name, rules[name])).map(name => UDEV_FLAG[name])
    const flags = chosen.reduce((all, flag) => all | flag, UDEV_FLAG.primarySource as number)
    const reason = whyNoUdev()
    const handle = reason === undefined ? await port.udevBegin(signal) : 0
    return new UdevTransaction(port, handle, flags, reason)
  }

  /**
   * Waits until udev has gone through its rules for everything that was done. `DM_UDEV_TIMEOUT` after `timeoutMs`; the
   * devices are as they are, only udev's links may be late.
   */
  async finish(options: UdevWaitOptions = {}): Promise<void> {
    checkOptions(options, ['timeoutMs', 'signal'], 'finish')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS, { min: 0 })
    this.#end()
    if (this.#handle === 0) return
    try {
      await this.#port.udevWait(this.#handle, limit, options.signal)
    } finally {
      await this.#port.release(this.#handle)
    }
  }

  /** Gives up waiting. What was done is done. Idempotent. */
  cancel(): void {
    if (this.#ended) return
    this.#end()
    if (this.#handle !== 0) this.#released = this.#port.release(this.#handle)
  }

  /** `cancel()`, where it was not finished. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel()
    await this.#released
  }

  /** @internal */
  get announcement(): UdevOptions {
    if (this.#ended) throw new DmThinError('DM_CLOSED', 'the udev transaction has ended')
    return { flags: this.#flags, transaction: this.#handle }
  }

  #end(): void {
    if (this.#ended) throw new DmThinError('DM_CLOSED', 'the udev transaction has ended')
    this.#ended = true
  }
}

/** What a call with an `udev` option passes on. */
export function announcementOf(udev: UdevTransaction | undefined): UdevOptions | undefined {
  if (udev === undefined) return undefined
  if (!(udev instanceof UdevTransaction)) throw invalid('udev must be a transaction of beginUdev()')
  return udev.announcement
}
