// How long the event loop is kept from its timers while `work` runs, as the 99th percentile that
// perf_hooks.monitorEventLoopDelay gives with its finest interval (1 ms, included in the figure).
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

const IDLE_MS = 1500

async function p99While(work) {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  await work()
  histogram.disable()
  return histogram.percentile(99)
}

/** Adds the figure with nothing to do and the one with `work`, in that order, from the same process. */
export async function measureEventLoop(samples, work) {
  // The first turns still compile and load; they would be counted as delay.
  await work()
  samples.add('event-loop@idle', await p99While(() => sleep(IDLE_MS)))
  samples.add('event-loop', await p99While(work))
}
