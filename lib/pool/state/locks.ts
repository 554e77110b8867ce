// The locks of a pool: by its name, and by its files or devices. docs/processes.md has the table of calls, locks and
// order. Each lock is taken first among the calls of this process, which wait in JavaScript, and then among all
// processes. So at most one thread waits for an exclusive lock, and waiting calls of this process do not occupy the
// threads that the holder of the lock needs.
import { AsyncLocalStorage } from 'node:async_hooks'
import { DmThinError, ERRNO } from '../../base/errors.js'
import { FairLocks } from '../../base/fair-locks.js'
import type { FileIdentity } from '../../kernel/port/file-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import type { Handle } from '../../kernel/port/handle.js'
import { deviceMajor, deviceMinor, deviceNumber, LOOP_MAJOR } from '../../base/device-number.js'

const ofPort = new WeakMap<KernelPort, FairLocks>()

function locksOf(port: KernelPort): FairLocks {
  const locks = ofPort.get(port) ?? new FairLocks()
  ofPort.set(port, locks)
  return locks
}

/** The locks of the calls that wait for a function of the caller, inside that function. */
const outerLocks = new AsyncLocalStorage<readonly PoolLock[]>()

/** Throws `DM_BUSY` inside a function that the holder of this lock waits for, which would be a deadlock. */
function refuseInside(port: KernelPort, key: string): void {
  if (!outerLocks.getStore()?.some(lock => lock.isHeldFor(port, key))) return
  const text = `${key} is locked by the call that waits for this function to end: use the pool after it`
  throw new DmThinError('DM_BUSY', text, { device: key })
}

/** The exclusive lock of one pool while a call creates, opens, grows or removes it. */
export class PoolLock {
  readonly #port: KernelPort
  readonly #signal: AbortSignal | undefined
  readonly #backings: (() => void)[] = []
  readonly #keys = new Set<string>()
  #complete = true
  #isInFunction = false

  constructor(port: KernelPort, signal: AbortSignal | undefined) {
    this.#port = port
    this.#signal = signal
  }

  /** True if other processes are excluded too. False if /run is not writable. */
  get complete(): boolean {
    return this.#complete
  }

  /**
   * Excludes other pools from these devices or files, in an order that all calls share. Replaces those taken before.
   */
  async takeBackings(keys: readonly string[]): Promise<void> {
    this.releaseBackings()
    for (const key of [...new Set(keys)].sort()) this.#backings.push(await this.take(key))
  }

  releaseBackings(): void {
    for (const release of this.#backings.splice(0).reverse()) release()
  }

  /** Runs `body` while no call, in any process, removes this volume. Volumes are suspended before they are removed. */
  async withThin<T>(pool: string, thinId: number, body: () => Promise<T>): Promise<T> {
    return withThinLock({ port: this.#port, name: pool }, thinId, body, this.#signal)
  }

  /** Runs a function of the caller. Calls inside it reject with `DM_BUSY` if they need this lock. */
  async waitFor<T>(body: () => Promise<T>): Promise<T> {
    this.#isInFunction = true
    try {
      return await outerLocks.run([...(outerLocks.getStore() ?? []), this], body)
    } finally {
      this.#isInFunction = false
    }
  }

  /** Returns true if `key` is held while a function of the caller runs. */
  isHeldFor(port: KernelPort, key: string): boolean {
    return this.#isInFunction && this.#port === port && this.#keys.has(key)
  }

  async take(key: string): Promise<() => void> {
    refuseInside(this.#port, key)
    const release = await locksOf(this.#port).take(key, 'exclusive', this.#signal)
    try {
      const handle = await this.#amongProcesses(key)
      this.#keys.add(key)
      return () => {
        this.#keys.delete(key)
        if (handle !== undefined) void this.#port.release(handle)
        release()
      }
    } catch (fault) {
      release()
      throw fault
    }
  }

  async #amongProcesses(key: string): Promise<Handle | undefined> {
    try {
      return await this.#port.lockPool(key, this.#signal)
    } catch (fault) {
      if (!(fault instanceof DmThinError) || fault.code === 'ABORT_ERR') throw fault
      this.#complete = false
      return undefined
    }
  }
}

/** Runs `body` while no other call, in any process, creates, opens, grows or removes this pool or activates in it. */
export async function withPoolLock<T>(
  port: KernelPort,
  name: string,
  signal: AbortSignal | undefined,
  body: (lock: PoolLock) => Promise<T>,
): Promise<T> {
  const lock = new PoolLock(port, signal)
  const release = await lock.take(name)
  try {
    return await body(lock)
  } finally {
    lock.releaseBackings()
    release()
  }
}

/** Runs `body` while no call, in any process, suspends or removes this volume. */
export async function withThinLock<T>(
  { port, name }: { readonly port: KernelPort; readonly name: string },
  thinId: number,
  body: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const handle = await port.lockThin(name, thinId, signal)
  try {
    return await body()
  } finally {
    void port.release(handle)
  }
}

/**
 * Runs `call`, which takes the lock shared among processes itself, while no call of this process holds the exclusive
 * lock: it would wait on a thread that the holder may need.
 */
export async function withSharedLock<T>(
  { port, name }: { readonly port: KernelPort; readonly name: string },
  signal: AbortSignal | undefined,
  call: () => Promise<T>,
): Promise<T> {
  refuseInside(port, name)
  const locks = locksOf(port)
  const release = locks.tryTake(name, 'shared') ?? (await locks.take(name, 'shared', signal))
  try {
    return await call()
  } finally {
    release()
  }
}

/** Returns the lock key of a file. Pool names have no `~`, so no pool's lock collides with one of a file or device. */
export const fileKey = ({ device, inode }: Pick<FileIdentity, 'device' | 'inode'>): string => `~file-${device}-${inode}`

/** Returns the lock key of a device; for a loop device, that of the file below it. */
export async function deviceKey(port: KernelPort, device: number, signal?: AbortSignal): Promise<string> {
  if (deviceMajor(device) !== LOOP_MAJOR) return `~device-${deviceNumber(device)}`
  const loop = await port.loopStatus(deviceMinor(device), signal).catch((fault: DmThinError) => {
    if (fault.errno !== ERRNO.ENXIO) throw fault
  })
  if (!loop) return `~device-${deviceNumber(device)}` // no file is attached
  return fileKey({ device: loop.backingDevice, inode: loop.backingInode })
}
