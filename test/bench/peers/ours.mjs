// The library's own side, through its public interface, as built.
import { closeSync, openSync } from 'node:fs'
import { createRequire } from 'node:module'
import { SECTOR_BYTES, ThinPool, volumesOf } from 'dm-thin'
import { measureEventLoop } from '../event-loop.mjs'
import { measureEvents } from '../events.mjs'
import { measureList } from '../list.mjs'
import { Samples, holdResident, range, readPlan } from '../plan.mjs'

const { trial, plan } = readPlan(process.argv.slice(2))
const samples = new Samples()
const indexes = range(plan.count)

async function snapshots(origin, metric) {
  const list = []
  for (const _ of indexes) {
    const take = () => origin.snapshot({ activate: false })
    list.push(await (metric ? samples.time(metric, take) : take()))
  }
  return list
}

async function oneByOne(metric, list, fn) {
  for (const volume of list) await samples.time(metric, () => fn(volume))
}

async function drop(list) {
  for (const volume of list) await volume.delete()
}

const trials = {
  async layers(pool, origin) {
    const list = await snapshots(origin, 'message')
    await oneByOne('activate', list, volume => volume.activate())
    await oneByOne('remove', list, volume => volume.deactivate())
    await drop(list)
  },

  async ready(pool, origin) {
    await origin.activate()
    const list = []
    for (const _ of indexes) {
      await samples.time('snapshot-ready', async () => {
        const volume = await origin.snapshot({ activate: true })
        closeSync(openSync(volume.path, 'r'))
        list.push(volume)
      })
    }
    volumesOf(await pool.deactivateMany([origin, ...list]))
    await drop(list)
  },

  async status(pool, origin) {
    const list = await snapshots(origin)
    volumesOf(await pool.activateMany(list))
    for (let repeat = 0; repeat < plan.repeats; repeat++) {
      volumesOf(await samples.time('status-batch', () => pool.statusMany(list)))
    }
    volumesOf(await pool.deactivateMany(list))
    await drop(list)
  },

  async wide(pool, origin) {
    const list = await snapshots(origin)
    for (let repeat = 0; repeat < plan.repeats; repeat++) {
      volumesOf(await samples.time('activate-64', () => pool.activateMany(list), plan.count))
      volumesOf(await samples.time('remove-64', () => pool.deactivateMany(list), plan.count))
    }
    await drop(list)
  },

  async loop(pool, origin) {
    const list = await snapshots(origin)
    await measureEventLoop(samples, async () => {
      for (let repeat = 0; repeat < plan.repeats; repeat++) {
        volumesOf(await pool.activateMany(list))
        volumesOf(await pool.deactivateMany(list))
      }
    })
    await drop(list)
  },

  events: () => measureEvents(samples, plan),
  list: () => measureList(samples, plan),
}

/** No public call is as cheap as this one, so it is asked of the addon itself; everything else is on its way. */
async function noop() {
  const { noop: call } = createRequire(import.meta.url)('../../helpers/native/load-addon.cjs').loadAddon()
  for (const _ of indexes) await samples.time('noop-async', () => call(0))
  const inFlight = 64
  for (let repeat = 0; repeat < plan.repeats; repeat++) {
    let left = plan.count
    const lane = async () => {
      while (left-- > 0) await call(0)
    }
    await samples.time('noop-async-64', () => Promise.all(range(inFlight).map(lane)), plan.count)
  }
}

holdResident(plan.megabytes)
if (trial === 'noop') {
  await noop()
} else if (!(trial in trials)) {
  const { storeTrials } = await import('./ours-store.mjs')
  const { forkTrials } = await import('./ours-forks.mjs')
  await { ...storeTrials, ...forkTrials }[trial](samples, plan)
} else {
  const pool = await ThinPool.open(plan.pool)
  await trials[trial](pool, await pool.volume(plan.origin, { sizeBytes: plan.sectors * SECTOR_BYTES }))
  await pool.close()
}
samples.print()
