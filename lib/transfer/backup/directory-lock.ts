// The lock of a directory of chunks, among all processes. Each shared holder has a folder of its own that it has locked, made
// while it had the lock of the parent. The exclusive holder has the lock of the parent, and waits for each of those folders.
// All locks are flock(2), which the kernel releases when a process ends.
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { undefinedIf } from '../../base/errors.js'
import { FairLocks, type LockMode } from '../../base/fair-locks.js'
import { nativePort } from '../../kernel/native-port.js'

/** Among the calls of this process, which would wait on native threads otherwise. */
const ofProcess = new FairLocks()

type Signal = AbortSignal | undefined

/** Takes the lock of a folder, which must exist. Returns the release. Rejects with `ABORT_ERR`. */
export async function lockDirectory(folder: string, mode: LockMode, signal: Signal): Promise<() => Promise<void>> {
  const release = await ofProcess.take(folder, mode, signal)
  try {
    const unlock = mode === 'shared' ? await lockShared(folder, signal) : await lockExclusive(folder, signal)
    return async () => {
      await unlock().finally(release)
    }
  } catch (fault) {
    release()
    throw fault
  }
}

async function lockShared(parent: string, signal: Signal): Promise<() => Promise<void>> {
  const port = nativePort()
  const lock = await port.lockNode(parent, signal)
  try {
    const own = path.join(parent, randomUUID())
    await mkdir(own)
    const held = await port.lockNode(own)
    return async () => {
      await rm(own, { recursive: true, force: true }).finally(() => port.release(held))
    }
  } finally {
    await port.release(lock)
  }
}

async function lockExclusive(parent: string, signal: Signal): Promise<() => Promise<void>> {
  const port = nativePort()
  const lock = await port.lockNode(parent, signal)
  try {
    for (const name of await readdir(parent)) {
      const folder = path.join(parent, name)
      const held = await port.lockNode(folder, signal).catch(undefinedIf('DM_FILE_MISSING', 'DM_NOT_FOUND'))
      if (held === undefined) continue // its holder has just released it
      await rm(folder, { recursive: true, force: true })
      await port.release(held)
    }
    return () => port.release(lock)
  } catch (fault) {
    await port.release(lock)
    throw fault
  }
}
