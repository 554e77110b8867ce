// The library's side of the trials of memory: what an open volume and a waiting call take.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { volumesOf } from 'dm-thin'

/** In this time all calls have reached the threads, and all objects that nobody needs are gone. */
const SETTLED_MS = 500

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc')

async function memoryNow() {
  await sleep(SETTLED_MS)
  collectGarbage()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { javaScript: heapUsed + external, resident: rss }
}

/** Adds for each of `count` by how much the memory has grown while what `act` returns exists. */
async function growth(samples, metric, count, act) {
  const before = await memoryNow()
  const kept = await act()
  const after = await memoryNow()
  samples.add(metric, (after.javaScript - before.javaScript) / count)
  samples.add(`${metric}@resident`, Math.max(0, after.resident - before.resident) / count)
  return kept
}

/** Takes the pool's lock, as a script can. @returns {Promise<() => Promise<void>>} gives it back */
async function lockPool(name) {
  const holder = spawn('flock', ['--exclusive', `/run/dm-thin/${name}.lock`, 'sh', '-c', 'echo locked; read _'])
  const ended = once(holder, 'close')
  await once(holder.stdout, 'data')
  return async () => {
    holder.stdin.end('\n')
    await ended
  }
}

/** Once in a process: what is given back stays resident, and would hide what the next needs. */
export const memoryTrials = {
  async volumes(samples, plan, pool, origin) {
    const made = volumesOf(await pool.snapshotMany(origin, plan.count))
    await pool.volume(origin.id)
    const listed = await growth(samples, 'memory-volume', plan.count, () => pool.volumes())
    if (listed.length !== plan.count + 1) throw new Error(`${listed.length} volumes listed, not ${plan.count + 1}`)
    volumesOf(await pool.deleteMany(made))
  },

  async calls(samples, plan, pool, origin) {
    const made = volumesOf(await pool.snapshotMany(origin, plan.count))
    await made[0].activate()
    await made[0].deactivate()
    const giveBack = await lockPool(plan.pool)
    const waiting = await growth(samples, 'memory-call', plan.count, () => made.map(volume => volume.activate()))
    await giveBack()
    await Promise.all(waiting)
    volumesOf(await pool.deactivateMany(made))
    volumesOf(await pool.deleteMany(made))
  },
}
