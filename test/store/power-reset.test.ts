// The power goes at any step of resets of a raw layer: its content is the former one or the new one, and what was flushed
// after a reset had resolved is there. All lies on one disk, so that a mark in its log is one moment.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { BlockDevice, MiB, mount, unmount } from '../../lib/entry/index.js'
import { LayerStore } from '../../lib/entry/store.js'
import { LoggedDisk } from '../helpers/kernel/log-writes.js'
import { dmCreate, dmInfo, dmRemove } from '../helpers/kernel/dmsetup.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { run } from '../helpers/process/spawned.js'
import { checkAfterPowerLoss, Promises, recoverRecords } from '../helpers/store/power.js'

const scratch = useScratch()
/** Begin and length on the disk, in MiB. */
const PARTS = { data: [0, 96], metadata: [96, 16], records: [112, 32] } as const
const WHOLE = 144
const SECTORS = MiB / 512
const PAGE = 4096

type Part = keyof typeof PARTS

const page = (text: string) => Buffer.alloc(PAGE, text)
const textAt = async (device: BlockDevice, at: number) =>
  (await device.read(at, PAGE)).toString('latin1', 0, 3).replace(/\0.*/s, '')

test('a loss of power at any step of a reset leaves the former or the new content, and nothing flushed after it is lost', async () => {
  const directory = scratch.path('store')
  const diskName = scratch.name('disk')
  const disk = await LoggedDisk.make(diskName, scratch.path('disk'), WHOLE * MiB)
  const names = { data: scratch.name('data'), metadata: scratch.name('metadata'), records: scratch.name('records') }
  const table = (part: Part) =>
    `0 ${PARTS[part][1] * SECTORS} linear ${dmInfo(diskName)!.number} ${PARTS[part][0] * SECTORS}`
  for (const part of ['data', 'metadata', 'records'] as const) dmCreate(names[part], table(part))
  const node = (part: Part) => `/dev/dm-${dmInfo(names[part])!.number.split(':')[1]}`
  run('mkfs.ext4', ['-q', node('records')])
  mkdirSync(directory)
  await mount({ source: node('records'), target: directory, type: 'ext4' })
  const pool = { name: scratch.name('pool'), data: node('data'), metadata: node('metadata') }
  const store = await LayerStore.open({ directory, pool, sizeBytes: 16 * MiB })

  const promises = new Promises()
  /** What the two pages of the layer may have at each moment. */
  const allowed = new Map<string, readonly string[]>()
  let now: readonly string[] = []
  const moment = (label: string) => {
    const mark = promises.moment(label)
    allowed.set(mark, now)
    disk.mark(mark)
  }
  const { device } = await store.prepare('first', '', { raw: true })
  const first = await BlockDevice.open(device)
  await first.write(0, page('new'))
  await first.flush()
  await first.close()
  await store.commit('golden', 'first')
  const held = await BlockDevice.open((await store.prepare('vm', 'golden')).device)
  promises.keys.add('golden').add('vm')
  const listen = (message: unknown) => moment((message as { step: string }).step)
  subscribe('dm-thin:store', listen)
  try {
    for (const round of ['one', 'two']) {
      await held.write(0, page('old'))
      await held.write(MiB, page(round))
      await held.flush()
      now = [`old ${round}`]
      moment('written')
      now = [`old ${round}`, 'new ']
      await store.reset('vm')
      now = ['new ']
      moment('reset')
      now = ['new ', `new ${round}`]
      await held.write(MiB, page(round))
      await held.flush()
      now = [`new ${round}`]
      moment('flushed')
      await store.cleanup()
      moment('cleaned-up')
    }
  } finally {
    unsubscribe('dm-thin:store', listen)
  }
  await held.close()
  await store.takeDown()
  await unmount(directory)
  for (const name of Object.values(names)) dmRemove(name)
  await disk.end()
  const steps = promises.moments.map(({ mark }) => mark.replace(/^\d+-/, ''))
  for (const step of ['intent', 'flush', 'move', 'renumber', 'return', 'point', 'record'])
    expect(steps.filter(each => each === `reset.${step}`)).toHaveLength(2)

  const image = scratch.path('image')
  const ends = new Set<string>()
  let looked = 0
  await disk.replay(image, async mark => {
    const folder = path.join(scratch.path('moments'), mark)
    mkdirSync(folder, { recursive: true })
    for (const part of ['data', 'metadata', 'records'] as const) {
      const [begin, length] = PARTS[part]
      const target = path.join(folder, `${part}.img`)
      run('dd', [
        `if=${image}`,
        `of=${target}`,
        'bs=1M',
        `skip=${begin}`,
        `count=${length}`,
        'conv=sparse',
        'status=none',
      ])
    }
    await recoverRecords(path.join(folder, 'records.img'), folder)
    await checkAfterPowerLoss(folder, promises, promises.moments[looked++]!, async after => {
      for (const { kind, action } of after.findings) if (kind === 'unfinished') ends.add(action)
      const found = await BlockDevice.open((await after.layer('vm')).device)
      const text = `${await textAt(found, 0)} ${await textAt(found, MiB)}`
      await found.close()
      expect({ mark, isAllowed: allowed.get(mark)!.includes(text) || text }).toEqual({ mark, isAllowed: true })
    })
    run('rm', ['-r', folder])
  })
  expect(looked).toBe(promises.moments.length)
  expect([...ends].sort()).toEqual(['completed', 'undone'])
})
