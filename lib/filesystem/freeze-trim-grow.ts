// Mounted file systems: freeze and thaw, trim, grow.
import path from 'node:path'
import { abortError, DmThinError } from '../base/errors.js'
import type { GrownFileSystem, MachinePort } from '../kernel/port/machine-port.js'
import type { KernelOption } from '../kernel/kernel-option.js'
import { machinePortOf } from '../kernel/native-port.js'
import type { Handle } from '../kernel/port/handle.js'
import { checkOptions, checkPath, type SignalOption, checkNumber, invalid, shown } from '../base/options.js'

/** Options of `whileFrozen`. */
export interface FrozenOptions extends KernelOption, SignalOption {
  /** Maximum duration of the freeze in milliseconds, 1 to 2 147 483 647. Default 30 000. */
  readonly timeoutMs?: number
}

/** Options of `trim`. */
export interface TrimOptions extends KernelOption, SignalOption {
  /** Start of the range on the file system, in bytes. Default 0. */
  readonly offsetBytes?: number
  /** Length of the range in bytes. Default: to the end. */
  readonly lengthBytes?: number
  /** Minimum size of a free extent to discard, in bytes. Default 0: the device's own minimum. */
  readonly minimumBytes?: number
  /** Aborts the call: between two pieces of 4 GiB on ext4 and xfs, before the first piece on others. */
  readonly signal?: AbortSignal
}

/** A file system that this process has frozen. `await using` thaws it. */
export interface FrozenFileSystem extends AsyncDisposable {
  /** The folder with which it was frozen. */
  readonly path: string
  /**
   * Thaws the file system (FITHAW): its writers continue. Idempotent; a failed call may be repeated. It uses the
   * descriptor that froze the file system, so it also works for a mount that was moved or covered.
   */
  readonly thaw: () => Promise<void>
}

class Frozen implements FrozenFileSystem {
  readonly #port: MachinePort
  readonly #handle: Handle
  #thawing: Promise<void> | undefined
  readonly path: string

  constructor(port: MachinePort, handle: Handle, folder: string) {
    this.#port = port
    this.#handle = handle
    this.path = folder
  }

  readonly thaw = (): Promise<void> => (this.#thawing ??= this.#thaw())

  async #thaw(): Promise<void> {
    try {
      await this.#port.thaw(this.#handle)
    } catch (fault) {
      this.#thawing = undefined
      throw fault
    }
    await this.#port.release(this.#handle)
  }

  /** Closes the descriptor, which attempts the thaw once more: while it is open, the mount is busy. */
  abandon(): Promise<void> {
    return this.#port.release(this.#handle)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.thaw()
  }
}

/**
 * Freezes the file system that is mounted at `folder` or contains it (FIFREEZE): completed writes are on the device,
 * its journal is empty, and every writer waits. Prefer `whileFrozen`, which always thaws. `process.exit()`, the end of
 * a worker and an uncaught error thaw it; a process that is killed leaves it frozen: see `thaw`.
 *
 * Rejects with `DM_BUSY` (frozen already), `DM_UNSUPPORTED`, `DM_FILE_MISSING`, `DM_PERMISSION`, `ABORT_ERR` (it is
 * thawed again).
 */
export async function freeze(folder: string, options: KernelOption & SignalOption = {}): Promise<FrozenFileSystem> {
  checkOptions(options, ['kernel', 'signal'], 'freeze')
  return frozenAt(folder, options)
}

async function frozenAt(folder: string, { kernel, signal }: KernelOption & SignalOption): Promise<Frozen> {
  const where = path.resolve(checkPath('folder', folder))
  const port = machinePortOf(kernel, 'file systems')
  return new Frozen(port, await port.freeze(where, signal), where)
}

/**
 * Thaws a file system that another process froze and left: one that was killed, or `fsfreeze`. Rejects with `DM_KERNEL`
 * (EINVAL: it is not frozen), `DM_FILE_MISSING`, `DM_PERMISSION`.
 */
export async function thaw(folder: string, options: KernelOption & SignalOption = {}): Promise<void> {
  checkOptions(options, ['kernel', 'signal'], 'thaw')
  await machinePortOf(options.kernel, 'file systems').thaw(path.resolve(checkPath('folder', folder)), options.signal)
}

/**
 * Runs `body` while the file system at `folder` is frozen, and always thaws it: when `body` returns or throws, when
 * `timeoutMs` is over, or when `signal` is aborted. In the last two cases the signal that `body` receives is aborted.
 * `body` must not write to the file system, because the write would wait for the thaw.
 *
 * Returns the result of `body`. Rejects with the error of `body`; with `ABORT_ERR` if the file system was thawed before
 * `body` ended, because the result is not of a single point in time; with the codes of `freeze`; with `DM_KERNEL` if it
 * cannot be thawed.
 */
export async function whileFrozen<T>(
  folder: string,
  body: (signal: AbortSignal) => Promise<T>,
  options: FrozenOptions = {},
): Promise<T> {
  checkOptions(options, ['timeoutMs', 'kernel', 'signal'], 'whileFrozen')
  const timeoutMs = checkNumber('timeoutMs', options.timeoutMs ?? 30_000, { min: 1, max: 2 ** 31 - 1 })
  if (typeof body !== 'function') throw invalid(`body must be a function, but is ${shown(body)}`)
  const frozen = await frozenAt(folder, options)
  const limit = limited(timeoutMs, options.signal)
  let fault: unknown
  try {
    return await untilAborted(frozen.path, body, limit.signal)
  } catch (reason) {
    fault = reason
    throw reason
  } finally {
    limit.end()
    await thawAfter(frozen, fault)
  }
}

/**
 * Returns a signal that is aborted by the caller's signal or when the time is over. Until `end`, the timer keeps the
 * process alive.
 */
function limited(timeoutMs: number, outer: AbortSignal | undefined): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController()
  const late = () => controller.abort(new DOMException(`frozen for ${timeoutMs} ms`, 'TimeoutError'))
  const timer = setTimeout(late, timeoutMs)
  const aborted = () => controller.abort(outer?.reason)
  if (outer?.aborted) aborted()
  outer?.addEventListener('abort', aborted, { once: true })
  const end = () => {
    clearTimeout(timer)
    outer?.removeEventListener('abort', aborted)
  }
  return { signal: controller.signal, end }
}

/** Resolves at the end of `body`, or rejects at the abort, whichever is first. */
async function untilAborted<T>(where: string, body: (signal: AbortSignal) => Promise<T>, signal: AbortSignal) {
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(abortError(signal, { operation: 'FIFREEZE', device: where }))
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([aborted, body(signal)])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/**
 * Thaws, with a second attempt if the first fails. A failed thaw is worse than an earlier error, which becomes its
 * cause.
 */
async function thawAfter(frozen: Frozen, before: unknown): Promise<void> {
  try {
    await frozen.thaw().catch(() => frozen.thaw())
  } catch (fault) {
    await frozen.abandon()
    if (!(fault instanceof DmThinError) || before === undefined) throw fault
    throw fault.refined(fault.code, fault.message, { cause: before })
  }
}

/**
 * Discards the unused blocks of the file system at `folder` (FITRIM, as `fstrim`). Returns the number of bytes that the
 * file system reports as discarded; ext4 omits those it discarded earlier. Waits for the device without blocking
 * JavaScript.
 *
 * Rejects with `DM_UNSUPPORTED` (by the file system or the device below), `DM_FILE_MISSING`, `DM_PERMISSION`,
 * `DM_KERNEL`, `ABORT_ERR` (`detail` contains how much was discarded).
 */
export async function trim(folder: string, options: TrimOptions = {}): Promise<number> {
  checkOptions(options, ['offsetBytes', 'lengthBytes', 'minimumBytes', 'kernel', 'signal'], 'trim')
  const { lengthBytes } = options
  const request = {
    path: path.resolve(checkPath('folder', folder)),
    offsetBytes: checkNumber('offsetBytes', options.offsetBytes ?? 0, { min: 0 }),
    ...(lengthBytes === undefined ? {} : { lengthBytes: checkNumber('lengthBytes', lengthBytes, { min: 1 }) }),
    minimumBytes: checkNumber('minimumBytes', options.minimumBytes ?? 0, { min: 0 }),
  }
  return machinePortOf(options.kernel, 'file systems').trim(request, options.signal)
}

/**
 * Grows the file system mounted at `folder` to the size of the device below it, which has grown (EXT4_IOC_RESIZE_FS,
 * XFS_IOC_FSGROWFSDATA). It stays in use. Does nothing if it has the device's size already; never shrinks it. Cannot be
 * aborted once begun.
 *
 * Rejects with `DM_UNSUPPORTED` (another type), `DM_FILE_MISSING`, `DM_PERMISSION` (also if ext4 has recorded errors in
 * the file system), `DM_KERNEL`.
 */
export async function growFileSystem(
  folder: string,
  options: KernelOption & SignalOption = {},
): Promise<GrownFileSystem> {
  checkOptions(options, ['kernel', 'signal'], 'growFileSystem')
  return machinePortOf(options.kernel, 'file systems').growFileSystem(
    path.resolve(checkPath('folder', folder)),
    options.signal,
  )
}
