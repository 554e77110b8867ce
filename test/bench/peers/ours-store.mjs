// The layer store's side of its trials: layers made, made ahead, removed.
import { range } from '../plan.mjs'
import { gone, PARENT, removeAll, withStore } from '../store-scratch.mjs'
import { manyTrials } from './ours-many.mjs'
import { treeTrials } from './ours-trees.mjs'

const keysOf = (name, count) => range(count).map(index => `${name}-${index}`)
const made = async (store, key) => (await store.prepare(key, PARENT)).mounts

async function oneByOne(samples, metric, store, keys) {
  for (const key of keys) await samples.time(metric, () => made(store, key))
}

export const storeTrials = {
  ...treeTrials,
  ...manyTrials,

  /** Also what a store of many layers is compared with. */
  prepare(samples, plan) {
    return withStore(plan, async store => {
      const keys = keysOf('layer', plan.count)
      await oneByOne(samples, 'prepare', store, keys)
      samples.copy('prepare', 'prepare-10k@few')
      await removeAll(store, keys)
    })
  },

  'prepare-100': (samples, plan) =>
    withStore(plan, async store => {
      for (const repeat of range(plan.repeats)) {
        const keys = keysOf(`layer-${repeat}`, plan.count)
        await samples.time('prepare-100', () => Promise.all(keys.map(key => made(store, key))), plan.count)
        const removal = samples.start(plan.count)
        await Promise.all(keys.map(key => store.remove(key)))
        removal.add('remove-100')
        await gone(store)
        removal.add('remove-100-gone')
      }
    }),
}
