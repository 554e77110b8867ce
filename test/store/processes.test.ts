// Two daemons and a tool at work on one store, and one of the daemons dies in the middle: the others go on, what the dead
// one left the tool takes away, and everything that any of them was told is so.
// @second-kernel
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { endStore, storeFiles } from '../helpers/store/stores.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { killedWork, together } from '../helpers/store/store-child.js'
import { held } from '../helpers/store/store-held.js'

const scratch = useScratch()
/** Where one of them dies, a round each. */
const DEATHS = [
  { step: 'prepare.record', nth: 3 },
  { step: 'remove.delete', nth: 1 },
]
const LOOKS = 3

/** Opens the store as often as it is told, and says what it found each time: one line of JSON. */
async function tool(options: object): Promise<{ layers: number; findings: string[]; disagreements: string[] }[]> {
  const source = `
    const { LayerStore } = require(${JSON.stringify(path.join(__dirname, '../../dist/entry/store.js'))})
    const shown = ({ kind, error }) => kind + (error ? ': ' + error.message : '')
    const look = async index => {
      const store = await LayerStore.open(${JSON.stringify(options)})
      let layers = 0
      for await (const { key, kind } of store.walk()) {
        layers += 1
        if (kind === 'committed') await store.usage(key).catch(fault => {
          if (fault.code !== 'DM_LAYER_NOT_FOUND') throw fault
        })
      }
      await store.prepare('tool-' + index, '')
      await store.withMounted('tool-' + index, async () => {})
      await store.space()
      const disagreements = (await store.verify()).map(shown)
      await store.remove('tool-' + index)
      await store.close()
      return { layers, findings: store.findings.map(shown), disagreements }
    }
    const run = async () => {
      const seen = []
      for (let index = 0; index < ${LOOKS}; index += 1) seen.push(await look(index))
      console.log(JSON.stringify(seen))
    }
    run()`
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', source])
  return JSON.parse(stdout) as Awaited<ReturnType<typeof tool>>
}

test('the calls of two processes succeed while the third is killed', async () => {
  scratch.log.allow(/transaction id/)
  const files = storeFiles()
  await held(files, await killedWork(files.options, 'first', {}))
  const endings: string[] = []
  for (const [round, death] of DEATHS.entries()) {
    const [dies, lives, seen] = await Promise.all([
      killedWork(files.options, `d${round}x`, death, { wide: 2 }),
      killedWork(files.options, `l${round}x`, {}, { wide: 2 }),
      tool(files.options),
    ])
    // Of whom it is that dies, only that may be found: at the tool's open, or after it.
    for (const { findings, disagreements } of seen)
      for (const kind of [...findings, ...disagreements]) expect(['unfinished', 'left-mounted']).toContain(kind)
    const all = together([dies, lives])
    endings.push(all.ending)
    await held(files, all)
  }
  expect(endings).toEqual(DEATHS.map(() => 'SIGKILL end'))
  await endStore(files)
})
