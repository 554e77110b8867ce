// Calls of two processes that overlap: the first is held before each of its steps while the second runs.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Ended } from './calls.js'
import { type Answer, type Entry, type Hold, OverlapProcess, type Request } from './overlap-process.js'

/** The first call goes on after this time if the second neither ends nor waits for a lock, but asks again and again. */
const PATIENCE_MS = 300
/** A call that has more steps has more each time. */
const MAX_STEPS = 500

/** The operations that change something, or wait. Between two of them a call only reads. */
export const CHANGES = [
  ...['DM_DEV_CREATE', 'DM_TABLE_LOAD', 'DM_TABLE_CLEAR', 'DM_DEV_RESUME', 'DM_DEV_SUSPEND', 'DM_DEV_REMOVE'],
  ...['DM_TARGET_MSG', 'DM_LIST_DEVICES', 'open lock', 'flock', 'lock gate', 'lock thin', 'flock loop-control'],
  ...['LOOP_CTL_ADD', 'LOOP_CTL_GET_FREE', 'LOOP_CONFIGURE', 'LOOP_CLR_FD', 'LOOP_SET_CAPACITY', 'LOOP_SET_STATUS64'],
  ...['create file', 'ftruncate', 'unlink', 'fsync', 'fdatasync', 'syncfs', 'fallocate', 'BLKDISCARD', 'FIFREEZE'],
  ...['mount', 'fsmount', 'umount2'],
].join('|')

export type Processes = readonly [OverlapProcess, OverlapProcess]

/** Starts two processes with the calls of a module beside this one, which gets an entry of the library. */
export const twoProcesses = (calls: string, entry: Entry): Processes => [
  new OverlapProcess(calls, entry),
  new OverlapProcess(calls, entry),
]

/** How much has overlapped, and what the second call had come to when the first went on. */
class Count {
  pairs = 0
  ended = 0
  waited = 0
  neither = 0

  toString(): string {
    const steps = this.ended + this.waited + this.neither
    const second = `${this.ended} ended, ${this.waited} waited for a lock, ${this.neither} for something else`
    return `${this.pairs} pairs of calls overlapped at ${steps} steps; of the second calls ${second}`
  }
}

export const counted = new Count()

/** What two calls overlap on. */
export interface Scene {
  /** Restores what the last calls have changed. Returns what the calls are given. */
  restored(processes: Processes): Promise<object>
  /** Returns what is wrong after two calls, or after one that ran alone, as far as it shows at once. */
  faults(ended: readonly Ended[], input: object): Promise<string[]>
  /** Returns what is wrong after the calls of one pair have overlapped at each step. */
  faultsOfPair(): Promise<string[]>
}

/**
 * Lets `first` overlap with each of `others` at each of its steps: each time that it comes to one of `operations`, which
 * are any of the kernel's by default. Returns what was wrong.
 */
export async function overlapEach(
  processes: Processes,
  scene: Scene,
  first: string,
  others: readonly string[],
  operations = '*',
): Promise<string[]> {
  const faults: string[] = []
  for (const second of others) {
    counted.pairs += 1
    for (let step = 1; ; step++) {
      if (step > MAX_STEPS) throw new Error(`${first} takes more steps with each call of ${second}`)
      const input = await scene.restored(processes)
      const requests = [first, second].map(call => ({ call, input })) as [Request, Request]
      const { reached, answers } = await overlap(processes, requests, { step, operations })
      const ended = answers.map((answer, at) => ({ call: [first, second][at]!, answer }))
      const where = reached === undefined ? `${first} alone` : `${first} with ${second} before step ${step}, ${reached}`
      for (const fault of await scene.faults(ended, input)) faults.push(`${where}: ${fault}`)
      if (reached === undefined) break
    }
    await scene.restored(processes)
    for (const fault of await scene.faultsOfPair()) faults.push(`${first} with ${second}: ${fault}`)
  }
  return faults
}

interface Overlap {
  /** The operation before which the first call was held. Undefined if the call has fewer steps; then it ran alone. */
  readonly reached: string | undefined
  readonly answers: readonly Answer[]
}

/** Holds the first call until the second has ended, or waits; then lets both end. */
async function overlap(
  [first, second]: Processes,
  requests: readonly [Request, Request],
  hold: Hold,
): Promise<Overlap> {
  const held = first.runHeld(requests[0], hold)
  const reached = await held.reached
  if (reached === undefined) return { reached, answers: [await held.answer] }
  let over = false
  const other = second.run(requests[1]).finally(() => (over = true))
  other.catch(() => {})
  const end = performance.now() + PATIENCE_MS
  let waits = false
  while (!over && !waits && performance.now() < end) {
    await Promise.race([other, sleep(1)])
    waits = isAnyoneWaiting()
  }
  counted[over ? 'ended' : waits ? 'waited' : 'neither'] += 1
  first.go()
  return { reached, answers: await Promise.all([held.answer, other]) }
}

/** The first call is held before an operation of the kernel, so it is the second that waits for a lock. */
const isAnyoneWaiting = (): boolean => readFileSync('/proc/locks', 'utf8').includes('->')
