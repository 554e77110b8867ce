// The power goes at any step of resets of a raw layer: its content is the former one or the new one, and what was flushed
// after a reset had resolved is there.
import { BlockDevice, MiB } from '../../lib/entry/index.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { StoreOnOneDisk } from '../helpers/store/one-disk.js'

const scratch = useScratch()
const PAGE = 4096

const page = (text: string) => Buffer.alloc(PAGE, text)
const textAt = async (device: BlockDevice, at: number) =>
  (await device.read(at, PAGE)).toString('latin1', 0, 3).replace(/\0.*/s, '')

test('a loss of power at any step of a reset leaves the former or the new content, and nothing flushed after it is lost', async () => {
  /** What the two pages of the layer may have at each moment. */
  const allowed = new Map<string, readonly string[]>()
  let now: readonly string[] = []
  const disk = await StoreOnOneDisk.make(scratch, mark => allowed.set(mark, now))
  const { store, promises } = disk
  const { device } = await store.prepare('first', '', { raw: true })
  const first = await BlockDevice.open(device)
  await first.write(0, page('new'))
  await first.flush()
  await first.close()
  await store.commit('golden', 'first')
  const held = await BlockDevice.open((await store.prepare('vm', 'golden')).device)
  promises.keys.add('golden').add('vm')
  await disk.run(async () => {
    for (const round of ['one', 'two']) {
      await held.write(0, page('old'))
      await held.write(MiB, page(round))
      await held.flush()
      now = [`old ${round}`]
      disk.moment('written')
      now = [`old ${round}`, 'new ']
      await store.reset('vm')
      now = ['new ']
      disk.moment('reset')
      now = ['new ', `new ${round}`]
      await held.write(MiB, page(round))
      await held.flush()
      now = [`new ${round}`]
      disk.moment('flushed')
      await store.cleanup()
      disk.moment('cleaned-up')
    }
    await held.close()
  })
  for (const step of ['intent', 'flush', 'move', 'renumber', 'return', 'point', 'record'])
    expect(disk.steps().filter(each => each === `reset.${step}`)).toHaveLength(2)

  const ends = new Set<string>()
  await disk.replay(async (after, mark) => {
    for (const { kind, action } of after.findings) if (kind === 'unfinished') ends.add(action)
    const found = await BlockDevice.open((await after.layer('vm')).device)
    const text = `${await textAt(found, 0)} ${await textAt(found, MiB)}`
    await found.close()
    expect({ mark, isAllowed: allowed.get(mark)!.includes(text) || text }).toEqual({ mark, isAllowed: true })
  })
  expect([...ends].sort()).toEqual(['completed', 'undone'])
})
