// The exclusive side of a pool's section lock: nobody, in any process, is in the middle of a compound call.
import { setTimeout as sleep } from 'node:timers/promises'
import { DmThinError, ERRNO } from '../errors.js'
import type { Handle, KernelPort } from '../kernel/port.js'

const LOCK_TRIES = 40
const LOCK_PAUSE_MS = 50

/** To be released; undefined where others are inside for seconds on end, or where /run cannot be written. */
export async function takeSectionLock(
  port: KernelPort,
  name: string,
  signal?: AbortSignal,
): Promise<Handle | undefined> {
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    try {
      return await port.lockPool(name, signal)
    } catch (fault) {
      if (!(fault instanceof DmThinError) || fault.code === 'ABORT_ERR') throw fault
      if (fault.errno !== ERRNO.EAGAIN) return undefined
      await sleep(LOCK_PAUSE_MS)
    }
  }
  return undefined
}
