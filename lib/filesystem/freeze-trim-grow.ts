// Mounted file systems: freeze and thaw, trim, grow.
import path from 'node:path'
import { abortError, DmThinError } from '../base/errors.js'
import type { GrownFileSystem, FileSystemPort } from '../kernel/port/file-system-port.js'
import type { KernelOption } from '../kernel/kernel-option.js'
import { machinePortOf } from '../kernel/native-port.js'
import type { Handle } from '../kernel/port/handle.js'
import { checkOptions, checkPath, type SignalOption, checkNumber, invalid, shown } from '../base/options.js'

/** Options of `whileFrozen`. */
export interface FrozenOptions extends KernelOption, SignalOption {
  /** How long it may stay frozen, in milliseconds, 1 to 2 147 483 647. Default 30 000. */
  readonly timeoutMs?: number
}

/** Options of `trim`. */
export interface TrimOptions extends KernelOption, SignalOption {
  /** Where on the file system to begin, in bytes. Default 0. */
  readonly offsetBytes?: number
  /** How much of it, in bytes. Default: to the end. */
  readonly lengthBytes?: number
  /** Free pieces that are smaller are left, in bytes. Default 0: the device's own least. */
  readonly minimumBytes?: number
  /** Heard between two pieces of 4 GiB on ext4 and xfs, and before the first on others. */
  readonly signal?: AbortSignal
}

/** A file system that this process has frozen. `await using` thaws it. */
export interface FrozenFileSystem extends AsyncDisposable {
  /** The folder by which it was frozen. */
  readonly path: string
  /**
   * Lets the writers go on (FITHAW). Idempotent; one that failed may be called again. By the descriptor that froze it,
   * so a mount that has been moved or covered is found.
   */
  readonly thaw: () => Promise<void>
}

class Frozen implements FrozenFileSystem {
  readonly #port: FileSystemPort
  readonly #handle: Handle
  #thawing: Promise<void> | undefined
  readonly path: string

  constructor(port: FileSystemPort, handle: Handle, folder: string) {
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

  /** Lets go of the descriptor, whose end is one more try: while it is open, the mount is busy. */
  abandon(): Promise<void> {
    return this.#port.release(this.#handle)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.thaw()
  }
}

/**
 * Freezes the file system that is mounted at `folder` or holds it (FIFREEZE): what was written is on the device, its
 * journal is empty, and every writer waits. Prefer `whileFrozen`, which cannot forget the thaw. `process.exit()`, the end
 * of a worker and an uncaught error thaw it; a process that is killed leaves it frozen: see `thaw`.
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
 * Thaws a file system that somebody else has frozen and left: a process that was killed, `fsfreeze`. Rejects with
 * `DM_KERNEL` (EINVAL: it is not frozen), `DM_FILE_MISSING`, `DM_PERMISSION`.
 */
export async function thaw(folder: string, options: KernelOption & SignalOption = {}): Promise<void> {
  checkOptions(options, ['kernel', 'signal'], 'thaw')
  await machinePortOf(options.kernel, 'file systems').thaw(path.resolve(checkPath('folder', folder)), options.signal)
}

/**
 * Runs `body` while the file system at `folder` is frozen, and thaws it whatever comes of that: it returns, it throws,
 * `timeoutMs` is over, `signal` is aborted. `body` gets a signal that is aborted with the last two; it must not write to
 * the file system, which would wait for the thaw.
 *
 * Gives what `body` gives. Rejects with what `body` rejects with; with `ABORT_ERR` when it was thawed before `body` came
 * to its end, since what was made then is not of one moment; with what `freeze` rejects with; with `DM_KERNEL` when it
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

/** Aborted by the caller's signal or when the time is over. Until `end`, the time keeps the process alive. */
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

/** The body's end, or the abort, whichever is first. */
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

/** Twice where it has to be. A thaw that fails is worse than whatever failed before it, which stays as its cause. */
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
 * Discards what the file system at `folder` does not use (FITRIM, as `fstrim`). Gives how many bytes it says that it
 * discarded; ext4 leaves out what it discarded before. Waits for the device, not in JavaScript.
 *
 * Rejects with `DM_UNSUPPORTED` (the file system or the device below cannot), `DM_FILE_MISSING`, `DM_PERMISSION`,
 * `DM_KERNEL`, `ABORT_ERR` (`detail` says how much was discarded by then).
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
 * The file system mounted at `folder` takes the whole of the device below it, which has grown (EXT4_IOC_RESIZE_FS,
 * XFS_IOC_FSGROWFSDATA). It stays in use meanwhile. Does nothing where it has the device's size already; never makes it
 * smaller. Once begun it is not interrupted.
 *
 * Rejects with `DM_UNSUPPORTED` (another type), `DM_FILE_MISSING`, `DM_PERMISSION` (also ext4's word for a file system
 * with errors), `DM_KERNEL`.
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
