// Mounts of a device that another call suspends for a snapshot. During that time the kernel rejects them with EBUSY.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode, throwIfAborted } from '../../base/errors.js'

const PAUSE_MS = 5
/** The number of refusals of a device that is not suspended after which it is busy for another reason. */
const MAX_REFUSALS = 3
/** The limit of the wait: a snapshot takes milliseconds, and who suspends a device for longer may not resume it. */
const LIMIT_MS = 10_000

/**
 * Runs `mount`, which mounts `device`, and repeats it while the device is suspended, for at most ten seconds. A commit of a layer that is in use
 * suspends its device in this way, also in another process.
 */
export async function unlessSuspended<T>(
  device: string,
  mount: () => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const end = performance.now() + LIMIT_MS
  for (let refusals = 0; ;) {
    throwIfAborted(signal)
    try {
      return await mount()
    } catch (fault) {
      if (!hasCode(fault, 'DM_BUSY')) throw fault
      if (performance.now() > end) throw fault
      // It may have been resumed since.
      if (!isSuspended(device) && ++refusals >= MAX_REFUSALS) throw fault
    }
    await sleep(PAUSE_MS)
  }
}

function isSuspended(device: string): boolean {
  try {
    return readFileSync(`/sys/block/${path.basename(device)}/dm/suspended`, 'utf8').startsWith('1')
  } catch {
    return false // removed, or not a mapped device
  }
}
