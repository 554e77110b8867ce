// The power goes at any step of any call: what had been acknowledged by then is there, though of the disks only what was
// flushed is: of the pool's two, and of the one with the records.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LayerStore } from '../../lib/entry/store.js'
import { MiB, mount, unmount } from '../../lib/entry/index.js'
import { LoggedDisk } from '../helpers/kernel/log-writes.js'
import { checkAfterPowerLoss, copySparse, Promises, recoverRecords } from '../helpers/store/power.js'
import { run } from '../helpers/process/spawned.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { dmInfo } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const content = (name: string) => name.repeat(20_000)

test('a loss of power at any step of the life of a layer loses nothing acknowledged', async () => {
  const directory = scratch.path('store')
  const [dataName, metadataName] = [scratch.name('data'), scratch.name('metadata')]
  const disk = await LoggedDisk.make(dataName, scratch.path('data'), 512 * MiB)
  const metadataDisk = await LoggedDisk.make(metadataName, scratch.path('metadata'), 16 * MiB)
  const node = (name: string) => `/dev/dm-${dmInfo(name)!.number.split(':')[1]}`
  const poolName = scratch.name('pool')
  const pool = { name: poolName, data: node(dataName), metadata: node(metadataName) }
  const recordsName = scratch.name('records')
  const recordsDisk = await LoggedDisk.make(recordsName, scratch.path('records'), 32 * MiB)
  run('mkfs.ext4', ['-q', node(recordsName)])
  mkdirSync(directory)
  await mount({ source: node(recordsName), target: directory, type: 'ext4' })
  const store = await LayerStore.open({ directory, pool, sizeBytes: 64 * MiB, discard: true })

  const promises = new Promises()
  const { keys, gone, moments } = promises
  const folderOf = (mark: string) => path.join(scratch.path('moments'), mark)
  const moment = (label: string) => {
    const mark = promises.moment(label)
    for (const each of [disk, metadataDisk, recordsDisk]) each.mark(mark)
    mkdirSync(folderOf(mark), { recursive: true })
  }
  const listen = (message: unknown) => moment((message as { step: string }).step)
  subscribe('dm-thin:store', listen)
  try {
    for (const name of ['one', 'two']) {
      const layer = `${name}-layer`
      promises.contents.set(layer, content(name))
      const isSecond = name === 'two' // from a warm set, and committed while it is mounted: a copy of it is the layer
      if (isSecond) await store.warm('one-layer', 1)
      await store.prepare(name, isSecond ? 'one-layer' : '')
      keys.add(name)
      const commit = async () => {
        keys.delete(name) // from here on under either name
        await store.commit(layer, name)
        keys.add(layer)
      }
      await store.withMounted(name, async folder => {
        writeFileSync(path.join(folder, 'content'), content(name))
        if (isSecond) await commit()
      })
      if (!isSecond) await commit()
      else await store.warm('one-layer', 0)
      gone.add(name)
      await store.view(`${name}-view`, layer)
      keys.add(`${name}-view`)
      keys.delete(`${name}-view`)
      await store.remove(`${name}-view`)
      gone.add(`${name}-view`)
      moment('removed')
      await store.cleanup()
      moment('cleaned-up')
    }
  } finally {
    unsubscribe('dm-thin:store', listen)
  }
  await store.takeDown()
  await unmount(directory)
  for (const each of [disk, metadataDisk, recordsDisk]) await each.end()
  expect(moments.length).toBeGreaterThan(30)
  for (const step of ['warm.take', 'commit.copy'])
    expect(moments.filter(({ mark }) => mark.endsWith(step))).toHaveLength(1)

  // All logs in step: the data's is replayed mark by mark, and what the others had lies ready by then.
  const recordsImage = scratch.path('image-records')
  await recordsDisk.replay(recordsImage, mark => recoverRecords(recordsImage, folderOf(mark)))
  const images = new Map<string, string>()
  const image = scratch.path('image-metadata')
  await metadataDisk.replay(image, async mark => {
    const copy = path.join(folderOf(mark), 'metadata.img')
    copySparse(image, copy)
    images.set(mark, copy)
  })
  const dataImage = scratch.path('image-data')
  const looked: string[] = []
  const leaking: string[] = []
  await disk.replay(dataImage, async mark => {
    copySparse(dataImage, path.join(folderOf(mark), 'data.img'))
    expect(images.has(mark)).toBe(true)
    if (await checkAfterPowerLoss(folderOf(mark), promises, moments[looked.length]!)) leaking.push(mark)
    run('rm', ['-r', folderOf(mark)])
    looked.push(mark)
  })
  expect(looked).toEqual(moments.map(each => each.mark))
  // Only where something was being removed.
  const firstRemoval = moments.findIndex(each => each.mark.includes('remove.'))
  expect(leaking.filter(mark => looked.indexOf(mark) < firstRemoval)).toEqual([])
})
