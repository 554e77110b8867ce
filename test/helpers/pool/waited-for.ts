// Whether a call waits for a lock of the library that another one holds.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves when somebody waits for a lock of a file, by /proc/locks. Rejects if `call` ends before. */
export async function lockIsWaitedFor(call: Promise<unknown>): Promise<void> {
  let isOver = false
  const over = () => void (isOver = true)
  call.then(over, over)
  while (!/^\d+: -> /m.test(readFileSync('/proc/locks', 'utf8'))) {
    if (isOver) throw new Error('the call ended without waiting for a lock')
    await sleep(1)
  }
}
