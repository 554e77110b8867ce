// The power goes at any step of any call: what had been acknowledged by then is there, though of the disks only what was
// flushed is: of the pool's two, and of the one with the records.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import Sqlite from 'better-sqlite3'
import { LayerStore } from '../../lib/entry/store.js'
import { LoopDevice, MiB, mount, unmount } from '../../lib/entry/index.js'
import { LoggedDisk } from '../helpers/log-writes.js'
import { run, tryRun } from '../helpers/spawned.js'
import { keysOf } from '../helpers/stores.js'
import { takeDown } from '../helpers/pools.js'
import { useScratch } from '../helpers/scratch.js'
import { dmInfo, thinCheck } from '../helpers/witness.js'

const scratch = useScratch()

/** A moment at which the power might have gone, and what had been promised by then. */
interface Moment {
  readonly mark: string
  readonly keys: readonly string[]
  readonly gone: readonly string[]
}

const DATABASE = ['layers.db', 'layers.db-wal']
const content = (name: string) => name.repeat(20_000)

test('at every step of a layer’s life', async () => {
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

  const moments: Moment[] = []
  const keys = new Set<string>()
  const gone = new Set<string>()
  const moment = (label: string) => {
    const mark = `${moments.length}-${label}`
    for (const each of [disk, metadataDisk, recordsDisk]) each.mark(mark)
    mkdirSync(path.join(scratch.path('moments'), mark), { recursive: true })
    moments.push({ mark, keys: [...keys], gone: [...gone] })
  }
  const listen = (message: unknown) => moment((message as { step: string }).step)
  subscribe('dm-thin:store', listen)
  try {
    for (const name of ['one', 'two']) {
      const layer = `${name}-layer`
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
        writeFileSync(path.join(folder, name), content(name))
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
  await recordsDisk.replay(recordsImage, mark => recovered(recordsImage, path.join(scratch.path('moments'), mark)))
  const images = new Map<string, string>()
  const image = scratch.path('image-metadata')
  await metadataDisk.replay(image, async mark => {
    const copy = path.join(scratch.path('moments'), mark, 'metadata.img')
    copySparse(image, copy)
    images.set(mark, copy)
  })
  const dataImage = scratch.path('image-data')
  const looked: string[] = []
  const leaking: string[] = []
  await disk.replay(dataImage, async mark => {
    const there = moments.find(each => each.mark === mark)!
    const folder = path.join(scratch.path('moments'), mark)
    copySparse(dataImage, path.join(folder, 'data.img'))
    expect(images.has(mark)).toBe(true)
    if (await afterPowerLoss(folder, there)) leaking.push(mark)
    run('rm', ['-r', folder])
    looked.push(mark)
  })
  expect(looked).toEqual(moments.map(each => each.mark))
  // Only where something was being removed.
  const firstRemoval = moments.findIndex(each => each.mark.includes('remove.'))
  expect(leaking.filter(mark => looked.indexOf(mark) < firstRemoval)).toEqual([])
})

/** What the records' disk has after the power came back: its file system makes itself whole, in a copy. */
async function recovered(image: string, folder: string): Promise<void> {
  const [copy, target] = [path.join(folder, 'records.img'), path.join(folder, 'mounted')]
  copySparse(image, copy)
  mkdirSync(target)
  const loop = await LoopDevice.attach({ file: copy })
  await mount({ source: loop.path, target, type: 'ext4' })
  for (const file of DATABASE) {
    const from = path.join(target, file)
    if (existsSync(from)) copyFileSync(from, path.join(folder, file))
  }
  await unmount(target)
  await loop.detach()
  run('rm', ['-r', copy, target])
}

/**
 * Gives whether blocks have leaked. The kernel counts blocks once more while it passes their discard on; a commit
 * meanwhile keeps that count (drivers/md/dm-thin.c, process_prepared_discard_passdown_pt1). The pool works as it is;
 * thin_check has fault with it, and thin_repair counts anew.
 */
async function afterPowerLoss(directory: string, { mark, keys, gone }: Moment): Promise<boolean> {
  const name = scratch.name('after')
  const place = {
    name,
    data: { file: path.join(directory, 'data.img') },
    metadata: { file: path.join(directory, 'metadata.img') },
  }
  const database = new Sqlite(path.join(directory, 'layers.db'))
  database.prepare(`UPDATE store SET value = ? WHERE name = 'pool'`).run(JSON.stringify(place))
  database.close()
  const leaked = tryRun('thin_check', [place.metadata.file]).status !== 0
  const store = await LayerStore.open({ directory })
  const there = await keysOf(store)
  expect({ mark, there }).toEqual({ mark, there: expect.arrayContaining([...keys]) as unknown })
  for (const key of gone) expect({ mark, there }).not.toEqual({ mark, there: expect.arrayContaining([key]) as unknown })
  const inconsistent = store.findings.filter(({ kind }) => kind !== 'unfinished')
  expect({ mark, inconsistent }).toEqual({ mark, inconsistent: [] })
  for (const key of there.filter(each => each.endsWith('-layer'))) {
    const file = key.replace('-layer', '')
    await store.withMounted(key, async folder => {
      expect(existsSync(path.join(folder, file))).toBe(true)
      expect(readFileSync(path.join(folder, file), 'utf8')).toBe(content(file))
    })
  }
  expect(await store.cleanup()).toEqual([])
  expect({ mark, verified: await store.verify() }).toEqual({ mark, verified: [] })
  await store.close()
  await takeDown(name)
  thinCheck(leaked ? repaired(place.metadata.file) : place.metadata.file)
  return leaked
}

const copySparse = (from: string, to: string): void => void run('cp', ['--sparse=always', from, to])

function repaired(file: string): string {
  const output = `${file}.repaired`
  run('truncate', [`--reference=${file}`, output])
  run('thin_repair', ['-i', file, '-o', output])
  return output
}
