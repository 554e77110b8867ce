// Waits for what another call of this process brings about.
import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves when a condition holds. Rejects if `call` ends before; `what` names the condition. */
export async function untilDuring(call: Promise<unknown>, holds: () => boolean, what: string): Promise<void> {
  let isOver = false
  const over = () => void (isOver = true)
  call.then(over, over)
  while (!holds()) {
    if (isOver) throw new Error(`the call ended before ${what}`)
    await sleep(1)
  }
}
