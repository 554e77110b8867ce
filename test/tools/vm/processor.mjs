// The processor that a User-Mode Linux guest is kept on. Its kernel stops its processes and lets them go on at each of their
// system calls: on one processor that is a switch, between two it is an interrupt, and takes three times as long.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const LOOK_MS = 50

/** How many guests of this process each processor has. @type {Map<number, number>} */
const guests = new Map()

/** @returns {Promise<{ number: number, release: () => void }>} one with the fewest guests, and of these the one used least */
export async function claimProcessor() {
  const before = idleTimes()
  await sleep(LOOK_MS)
  const after = idleTimes()
  const idle = number => (after.get(number) ?? 0) - (before.get(number) ?? 0)
  const allowed = allowedProcessors(readFileSync('/proc/self/status', 'utf8'))
  const fewest = Math.min(...allowed.map(guestsOn))
  const free = allowed.filter(number => guestsOn(number) === fewest)
  const number = free.reduce((best, each) => (idle(each) > idle(best) ? each : best))
  guests.set(number, guestsOn(number) + 1)
  return { number, release: () => guests.set(number, guestsOn(number) - 1) }
}

const guestsOn = number => guests.get(number) ?? 0

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
