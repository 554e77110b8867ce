// The processor that a User-Mode Linux guest is kept on. Its kernel stops its processes and lets them go on at each of their
// system calls: on one processor that is a switch, between two it is an interrupt, and takes three times as long.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const LOOK_MS = 50

/** What the guests of this process take of each processor. @type {Map<number, number>} */
const shares = new Map()

/**
 * @param {number} share what the guest takes: 1 of User-Mode Linux, which mostly waits; 2 of emulated QEMU, which is not kept on
 *   the processor, but finds it free
 * @returns {Promise<{ number: number, release: () => void }>} one of which guests take least, and of these the one used least
 */
export async function claimProcessor(share = 1) {
  const before = idleTimes()
  await sleep(LOOK_MS)
  const after = idleTimes()
  const idle = number => (after.get(number) ?? 0) - (before.get(number) ?? 0)
  const allowed = allowedProcessors(readFileSync('/proc/self/status', 'utf8'))
  const least = Math.min(...allowed.map(takenOf))
  const free = allowed.filter(number => takenOf(number) === least)
  const number = free.reduce((best, each) => (idle(each) > idle(best) ? each : best))
  shares.set(number, takenOf(number) + share)
  return { number, release: () => shares.set(number, takenOf(number) - share) }
}

const takenOf = number => shares.get(number) ?? 0

/** @param {string} status the text of /proc/PID/status @returns {number[]} */
export function allowedProcessors(status) {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '0'
  return list.split(',').flatMap(range => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}

/** Ticks without work since the machine started, by processor. */
function idleTimes() {
  const lines = readFileSync('/proc/stat', 'utf8').matchAll(/^cpu(\d+) \d+ \d+ \d+ (\d+)/gm)
  return new Map(Array.from(lines, ([, number, idle]) => [Number(number), Number(idle)]))
}
