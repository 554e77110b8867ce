// udev transactions: many calls, one wait for udev with a time limit.
import { DmThinError } from '../base/errors.js'
import { checkBoolean, checkOptions, type SignalOption, checkNumber, invalid } from '../base/options.js'
import type { UdevOptions, UdevPort } from '../kernel/port/udev-port.js'
import type { Handle } from '../kernel/port/handle.js'
import { UDEV_FLAG, UDEV_WAIT_MS, whyNoUdev } from '../kernel/udev.js'

/** The udev rules that are disabled for the calls of a transaction. Default: all rules run. */
export interface UdevRules {
  /** Creates no links in /dev/mapper. Default false. */
  readonly disableDmRules?: boolean
  /** Prevents scans by LVM and the like. Default false. */
  readonly disableSubsystemRules?: boolean
  /** Creates no links in /dev/disk and does not probe the content. Default false. */
  readonly disableDiskRules?: boolean
  /** Disables the rules of desktops and the like. Default false. */
  readonly disableOtherRules?: boolean
  /** Lowers the priority of links: another device with the same link wins. Default false. */
  readonly lowPriority?: boolean
}

/** Options of `UdevTransaction.finish`. */
export interface UdevWaitOptions extends SignalOption {
  /** Time limit for udev in milliseconds. Default 30 000. */
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

/**
 * A set of calls whose uevents udev handles before `finish()` resolves. Pass it as `udev` to `resume`, `remove`,
 * `rename` and `setUuid`, and call `finish()` afterwards. The semaphore of a transaction is removed in every case:
 * finished, timed out, aborted, cancelled, or left by a crashed process.
 */
export class UdevTransaction {
  readonly #port: UdevPort
  readonly #handle: Handle | 0
  readonly #flags: number
  #ended = false
  #released: Promise<void> | undefined
  /** True if there is a udev to wait for. Without it there is no semaphore, and `finish()` returns immediately. */
  readonly synchronized: boolean
  /** The reason why `synchronized` is false, as text. */
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
   * Waits until udev has run its rules for every call of the transaction. Rejects with `DM_UDEV_TIMEOUT` after
   * `timeoutMs`; the devices are not affected, only udev's links may be late.
   */
  async finish(options: UdevWaitOptions = {}): Promise<void> {
    checkOptions(options, ['timeoutMs', 'signal'], 'finish')
    const limit = checkNumber('timeoutMs', options.timeoutMs ?? UDEV_WAIT_MS, { min: 0 })
    this.#end()
    if (this.#handle === 0) return
    try {
      await this.#port.udevWait(this.#handle, limit, options.signal)
    } finally {
      await this.#port.release(this.#handle)
    }
  }

  /** Cancels the wait. The calls of the transaction are not reverted. Idempotent. */
  cancel(): void {
    if (this.#ended) return
    this.#end()
    if (this.#handle !== 0) this.#released = this.#port.release(this.#handle)
  }

  /** Calls `cancel()` if the transaction is not finished, for `await using`. */
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

/** Returns the options that a call with an `udev` option passes to the port. */
export function announcementOf(udev: UdevTransaction | undefined): UdevOptions | undefined {
  if (udev === undefined) return undefined
  if (!(udev instanceof UdevTransaction)) throw invalid('udev must be a transaction of beginUdev()')
  return udev.announcement
}
