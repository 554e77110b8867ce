// The power goes at any step of checkpoints and forks of a raw layer that is written: all new layers of a call are there,
// or none, and those that are there have the content of the moment of the call, flushed by its writer or not.
import { BlockDevice, MiB } from '../../lib/entry/index.js'
import type { LayerStore } from '../../lib/entry/store.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { StoreOnOneDisk } from '../helpers/store/one-disk.js'
import { keysOf } from '../helpers/store/stores.js'

const scratch = useScratch()
const PAGE = 4096
const ROUNDS = ['one', 'two']
const CHILDREN = ['a', 'b', 'c']

const page = (text: string) => Buffer.alloc(PAGE, text)

/** The first three letters of two pages of a device. */
async function textOf(path: string): Promise<string> {
  const device = await BlockDevice.open(path)
  const pages = [await device.read(0, PAGE), await device.read(MiB, PAGE)]
  await device.close()
  return pages.map(each => each.toString('latin1', 0, 3)).join(' ')
}

/** Reads a committed layer through a view, which is removed again. */
async function committedText(store: LayerStore, name: string): Promise<string> {
  const text = await textOf((await store.view('look', name)).device)
  await store.remove('look')
  return text
}

test('a loss of power at any step of a checkpoint or a fork leaves all of its layers, complete, or none', async () => {
  const disk = await StoreOnOneDisk.make(scratch)
  const { store, promises } = disk
  const held = await BlockDevice.open((await store.prepare('vm', '', { raw: true })).device)
  promises.keys.add('vm')
  await disk.run(async () => {
    for (const round of ROUNDS) {
      await held.write(0, page(round))
      await held.flush()
      await held.write(MiB, page(round)) // acknowledged, and not flushed
      disk.moment('written')
      await store.checkpoint(`point-${round}`, 'vm')
      promises.keys.add(`point-${round}`)
      disk.moment('checkpoint')
      const keys = CHILDREN.map(child => `${child}-${round}`)
      await store.fork('vm', keys, { name: `fork-${round}`, onProgress: ({ done }) => disk.moment(`made-${done}`) })
      for (const key of [`fork-${round}`, ...keys]) promises.keys.add(key)
      disk.moment('fork')
      await held.write(0, page('new'))
      await held.write(MiB, page('new'))
      await held.flush()
      disk.moment('written-after')
    }
    await held.close()
  })
  const steps = disk.steps()
  for (const step of [
    'checkpoint.copy',
    'checkpoint.record',
    'fork.copy',
    'fork.intent',
    'fork.snapshots',
    'fork.point',
  ])
    expect([step, steps.filter(each => each === step).length]).toEqual([step, ROUNDS.length])
  for (const step of ['fork.record', 'made-1', 'made-3'])
    expect([step, steps.filter(each => each === step).length]).toEqual([step, ROUNDS.length])

  const ends = new Set<string>()
  await disk.replay(async (after, mark) => {
    for (const { kind, action } of after.findings) if (kind === 'unfinished') ends.add(action)
    const there = await keysOf(after)
    for (const round of ROUNDS) {
      const forked = [`fork-${round}`, ...CHILDREN.map(child => `${child}-${round}`)].filter(key => there.includes(key))
      expect({ mark, forked: [0, 1 + CHILDREN.length].includes(forked.length) || forked }).toEqual({
        mark,
        forked: true,
      })
      for (const key of forked.slice(1)) {
        const found = await textOf((await after.layer(key)).device)
        expect({ mark, key, found }).toEqual({ mark, key, found: `${round} ${round}` })
        expect(await after.stat(key)).toMatchObject({ kind: 'active', parent: `fork-${round}`, raw: true })
      }
      for (const name of [`point-${round}`, `fork-${round}`].filter(key => there.includes(key)))
        expect({ mark, name, found: await committedText(after, name) }).toEqual({
          mark,
          name,
          found: `${round} ${round}`,
        })
    }
    const known = ROUNDS.flatMap(round => [
      `point-${round}`,
      `fork-${round}`,
      ...CHILDREN.map(each => `${each}-${round}`),
    ])
    expect(there.filter(key => key !== 'vm' && !known.includes(key))).toEqual([])
  })
  expect([...ends]).toEqual(['undone'])
})
