// Five hundred deaths, each at a moment that nobody chose, of a process with four calls at once on a store.
import { keepFigures } from '../helpers/long/report.js'
import { seeded } from '../helpers/random/random.js'
import { imageToImport, killedWork, together, type Promised } from '../helpers/store/store-child.js'
import { held } from '../helpers/store/store-held.js'
import { endStore, storeFiles } from '../helpers/store/stores.js'
import { useScratch } from '../helpers/kernel/scratch.js'

const scratch = useScratch()
const KILLS = 500
/** About as many as a process comes to in all. */
const MAX_STEPS = 180
const LONGEST_MS = 100
/** Each ends what the one before left, and dies itself; then comes whoever holds the store to all that they were told. */
const IN_A_ROW = 5
/** Stores at the same time, each with a process of its own: most of a round is waiting. */
const LANES = 4

test('500 random kills of a process lose nothing acknowledged and leak nothing', async () => {
  const random = seeded(Date.now() % 2 ** 32)
  const steps: Record<string, number> = {}
  let [kills, ends] = [0, 0]
  const image = imageToImport(scratch)
  const lane = async () => {
    const files = storeFiles()
    await held(files, await killedWork(files.options, 'first', {}))
    for (let round = 0; kills < KILLS; round += 1) {
      const promised: Promised[] = []
      for (let death = 0; death < IN_A_ROW; death += 1) {
        const kill = { afterSteps: random.integer(0, MAX_STEPS), afterMs: random.integer(0, LONGEST_MS) }
        const work = random.boolean() ? { wide: 4, image } : { wide: 4 }
        promised.push(await killedWork(files.options, `r${round}d${death}x`, kill, work))
      }
      await held(files, together(promised))
      for (const { ending, steps: seen } of promised) {
        if (ending === 'SIGKILL') kills += 1
        else ends += 1
        const last = seen.at(-1) ?? 'before the first step'
        steps[last] = (steps[last] ?? 0) + 1
      }
      keepFigures('store-kills', [{ kills, ends, steps }])
    }
    await endStore(files)
  }
  await Promise.all(Array.from({ length: LANES }, lane))
})
