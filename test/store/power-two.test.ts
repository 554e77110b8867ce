// The power goes while one process imports an image and grows the pool and another process makes and removes layers: what
// either had been promised by then is there. All lies on one disk, so that a mark in its log is one moment for data,
// metadata and records.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { LayerStore } from '../../lib/entry/store.js'
import { MiB, mount, unmount } from '../../lib/entry/index.js'
import { askedChild } from '../helpers/process/asked-child.js'
import { LoggedDisk } from '../helpers/kernel/log-writes.js'
import { checkAfterPowerLoss, Promises, recoverRecords } from '../helpers/store/power.js'
import { run } from '../helpers/process/spawned.js'
import { contentOf, imageToImport } from '../helpers/store/store-child.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmLoad, dmRemove, dmResume, dmSuspend } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
/** Begin and length on the disk, in MiB. Of the data only half is given to the pool at first. */
const PARTS = { data: [0, 192], metadata: [192, 16], records: [208, 32] } as const
const WHOLE = 240
const HALF = PARTS.data[1] / 2
const SECTORS = MiB / 512

type Part = keyof typeof PARTS

test('a loss of power at any step of an import, a growth and calls of another process loses nothing acknowledged', async () => {
  scratch.log.allow(/transaction id/) // each raises it, and the kernel refuses it if the other was quicker
  const directory = scratch.path('store')
  const diskName = scratch.name('disk')
  const disk = await LoggedDisk.make(diskName, scratch.path('disk'), WHOLE * MiB)
  const names = { data: scratch.name('data'), metadata: scratch.name('metadata'), records: scratch.name('records') }
  const table = (part: Part, lengthMiB: number = PARTS[part][1]) =>
    `0 ${lengthMiB * SECTORS} linear ${dmInfo(diskName)!.number} ${PARTS[part][0] * SECTORS}`
  dmCreate(names.data, table('data', HALF))
  dmCreate(names.metadata, table('metadata'))
  dmCreate(names.records, table('records'))
  const node = (part: Part) => `/dev/dm-${dmInfo(names[part])!.number.split(':')[1]}`
  run('mkfs.ext4', ['-q', node('records')])
  mkdirSync(directory)
  await mount({ source: node('records'), target: directory, type: 'ext4' })
  const pool = { name: scratch.name('pool'), data: node('data'), metadata: node('metadata') }
  const store = await LayerStore.open({ directory, pool, sizeBytes: 64 * MiB })

  const promises = new Promises()
  const moment = (label: string) => disk.mark(promises.moment(label))
  const listen = (message: unknown) => moment((message as { step: string }).step)
  const other = 'other'.repeat(20_000)
  promises.contents.set('other-layer', other)
  subscribe('dm-thin:store', listen)
  try {
    const child = askedChild(directory, 'other', other, (state, verb, key) => {
      if (state === 'doing') {
        if (verb !== 'make') promises.keys.delete(key)
        return
      }
      if (verb === 'make') promises.keys.add(key)
      else promises.gone.add(key)
      if (verb === 'commit') promises.keys.add(`${key}-layer`)
      moment(`other.${verb}`)
    })
    const importing = store.importImage(imageToImport(scratch)).then(({ top, layers }) => {
      promises.contents.set(top, contentOf(top))
      for (const key of layers) promises.keys.add(key)
      moment('imported')
    })
    dmSuspend(names.data)
    dmLoad(names.data, table('data'))
    dmResume(names.data)
    await store.grow({ dataBytes: PARTS.data[1] * MiB })
    promises.dataBytes = PARTS.data[1] * MiB
    moment('grown')
    await Promise.all([child, importing])
  } finally {
    unsubscribe('dm-thin:store', listen)
  }
  await store.takeDown()
  await unmount(directory)
  for (const name of Object.values(names)) dmRemove(name)
  await disk.end()
  const marks = promises.moments.map(({ mark }) => mark.replace(/^\d+-/, ''))
  for (const step of ['grow.pool', 'grown', 'imported', 'prepare.record', 'commit.point', 'commit.record'])
    expect(marks).toContain(step)
  expect(marks.filter(each => each.startsWith('other.'))).toEqual(
    ['make', 'commit', 'make', 'remove'].map(verb => `other.${verb}`),
  )

  const image = scratch.path('image')
  const looked: string[] = []
  await disk.replay(image, async mark => {
    const folder = scratch.path(`after-${looked.length}`)
    mkdirSync(folder)
    const part = (name: Part) => {
      const [begin, length] = PARTS[name]
      const to = path.join(folder, `${name}.img`)
      run('dd', [`if=${image}`, `of=${to}`, 'bs=1M', `skip=${begin}`, `count=${length}`, 'conv=sparse', 'status=none'])
      return to
    }
    part('data')
    part('metadata')
    await recoverRecords(part('records'), folder)
    await checkAfterPowerLoss(folder, promises, promises.moments[looked.length]!)
    run('rm', ['-r', folder])
    looked.push(mark)
  })
  expect(looked).toEqual(promises.moments.map(({ mark }) => mark))
})
