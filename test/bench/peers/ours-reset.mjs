// The library's side of the trials of layers that are used again: reset in place, and taken from a warm set.
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { SECTOR_BYTES, ThinPool } from 'dm-thin'
import { range } from '../plan.mjs'
import { gone, PARENT, removeAll, withStore } from '../store-scratch.mjs'

const keysOf = (name, count) => range(count).map(index => `${name}-${index}`)
const made = async (store, key) => (await store.prepare(key, PARENT)).mounts

async function activations(samples, plan) {
  const pool = await ThinPool.open(plan.pool)
  const origin = await pool.volume(plan.origin, { sizeBytes: plan.sectors * SECTOR_BYTES })
  for (const _ of range(plan.count)) {
    const volume = await origin.snapshot({ activate: false })
    await samples.time('fork-reset@activation', () => volume.activate())
    await volume.destroy()
  }
  await pool.close()
}

/** The device stays open, and has a new write each time. */
async function resets(samples, store, count) {
  const { device } = await store.prepare('reset', PARENT)
  const fd = openSync(device, 'r+')
  for (const index of range(count)) {
    writeSync(fd, Buffer.alloc(4096, index), 0, 4096, index * 65_536)
    fsyncSync(fd)
    await samples.time('fork-reset', () => store.reset('reset'))
  }
  closeSync(fd)
  await removeAll(store, ['reset'])
}

async function newLayers(samples, store, count) {
  await made(store, 'again')
  for (const _ of range(count)) {
    await samples.time('fork-reset@remove + prepare', async () => {
      await store.remove('again')
      await made(store, 'again')
    })
  }
  await removeAll(store, ['again'])
}

export const resetTrials = {
  async reset(samples, plan) {
    await activations(samples, plan)
    await withStore(plan, async store => {
      await resets(samples, store, plan.count)
      await newLayers(samples, store, plan.count)
    })
  },

  /** The set is full again before the next one is taken; the burst takes the whole set at once. */
  warm: (samples, plan) =>
    withStore(plan, async store => {
      const keys = keysOf('layer', plan.count)
      const cold = keysOf('cold', plan.count)
      for (const key of cold) await samples.time('fork-warm@cold', () => made(store, key))
      await removeAll(store, cold)
      await store.warm(PARENT, plan.count)
      for (const key of keys) {
        await samples.time('fork-warm', () => made(store, key))
        await store.warm(PARENT, plan.count)
      }
      await removeAll(store, keys)
      for (const repeat of range(plan.repeats)) {
        const together = keysOf(`burst-${repeat}`, plan.count)
        await samples.time('fork-warm-burst', () => Promise.all(together.map(key => made(store, key))), plan.count)
        await store.warm(PARENT, plan.count)
        await removeAll(store, together)
      }
      await store.warm(PARENT, 0)
      await gone(store)
    }),
}
