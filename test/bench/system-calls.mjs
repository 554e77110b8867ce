// How many system calls an operation takes, by strace. A count says what a time on an emulated machine does not:
//
//   npm run vm -- --uml node test/bench/system-calls.mjs [--clock] [--json]
//
// --clock also counts how often the clock is read, which is a system call in User-Mode Linux only.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** How often each operation is run. */
export const ROUNDS = 32
/** What the traced program asks for to mark where an operation begins and ends; there is no such file. */
export const MARK = '/dm-thin-calls'

/** Calls by which threads wait for each other and wake each other; how many there are depends on who is quicker. */
const WAITING = /^(futex|epoll_p?wait2?|sched_yield|restart_syscall|(read|write) of an eventfd)$/
/** V8 without threads of its own: a garbage collection that falls within an operation would add their waits to it. */
const ONE_THREAD = '--single-threaded'
/** Calls of the memory of C++ and JavaScript, which come and go with the garbage collector. */
const MEMORY = /^(mmap|munmap|madvise|mprotect|brk|mremap)$/
const CLOCK = /^clock_(gettime|nanosleep)$/
/** Calls of a thread that starts, beside those for its signal mask. How many threads there are depends on what overlaps. */
const THREAD = /^(clone3?|set_robust_list|rseq)$/
/** In whoever starts it: by the library and by glibc, two each; and one in the thread itself. */
const MASKS_OF_A_THREAD = 5

/**
 * @param {string} line of strace -f -y @param {boolean} clock whether readings of the clock count
 * @returns {string | undefined} the call, a device mapper's with its command
 */
function callIn(line, clock) {
  const [, call, rest] = /^\d+ +(\w+)\((.*)/.exec(line) ?? []
  if (call === undefined || (!clock && CLOCK.test(call)) || MEMORY.test(call)) return undefined
  if (call === 'ioctl') return /,\s*((?:DM|LOOP|BLK|FI)\w+|[^,]+)/.exec(rest)[1]
  if ((call === 'read' || call === 'write') && rest.includes('[eventfd]')) return `${call} of an eventfd`
  return call
}

/**
 * @param {string} trace @param {boolean} clock
 * @returns {Map<string, Map<string, number>>} per operation: its calls, for one of ROUNDS
 */
function callsIn(trace, clock) {
  const operations = new Map()
  let counts
  for (const line of trace.split('\n')) {
    const mark = new RegExp(`"${MARK}/(begin|end)/([^"]*)"`).exec(line)
    if (mark) {
      counts = mark[1] === 'begin' ? new Map() : undefined
      if (counts) operations.set(mark[2], counts)
      continue
    }
    const call = counts && callIn(line, clock)
    if (call) counts.set(call, (counts.get(call) ?? 0) + 1)
  }
  for (const calls of operations.values()) {
    leaveOutThreads(calls)
    for (const [call, times] of calls) calls.set(call, times / ROUNDS)
  }
  return operations
}

/** @param {Map<string, number>} calls */
function leaveOutThreads(calls) {
  const started = (calls.get('clone3') ?? 0) + (calls.get('clone') ?? 0)
  if (started === 0) return
  calls.set('rt_sigprocmask', Math.max(0, (calls.get('rt_sigprocmask') ?? 0) - MASKS_OF_A_THREAD * started))
  for (const call of [...calls.keys()]) if (THREAD.test(call)) calls.delete(call)
}

export const isWaiting = call => WAITING.test(call)

/** Runs all operations in a process of their own, under strace. */
export function countedCalls({ clock = false } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'dm-thin-trace-'))
  const file = join(directory, 'trace')
  const program = new URL('peers/ours-calls.mjs', import.meta.url).pathname
  const args = ['-f', '-y', '-qq', '-s', '80', '-o', file, process.execPath, ONE_THREAD, program]
  try {
    const { status, stderr, error } = spawnSync('strace', args, { encoding: 'utf8', maxBuffer: 1e8 })
    if (error) throw error
    if (status !== 0) throw new Error(`the operations failed:\n${stderr}`)
    return callsIn(readFileSync(file, 'utf8'), clock)
  } finally {
    if (!process.env.KEEP_TRACE) rmSync(directory, { recursive: true, force: true })
    else console.error(file)
  }
}

function print(operations) {
  for (const [operation, calls] of operations) {
    const rows = [...calls].filter(([, times]) => times >= 0.5)
    const sum = rows.reduce((all, [, times]) => all + Math.round(times), 0)
    console.log(`${operation}: ${sum}`)
    for (const [call, times] of rows) console.log(`  ${times.toFixed(2).padStart(6)} ${call}`)
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const operations = countedCalls({ clock: process.argv.includes('--clock') })
  if (!process.argv.includes('--json')) print(operations)
  else
    console.log(
      JSON.stringify(Object.fromEntries([...operations].map(([name, calls]) => [name, Object.fromEntries(calls)]))),
    )
}
