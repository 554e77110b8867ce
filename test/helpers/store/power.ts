// What must be true of a store after the power has gone: whatever had been acknowledged by then, and nothing half-made.
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import Sqlite from 'better-sqlite3'
import { LoopDevice, mount, unmount } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { takeDown } from '../pool/pools.js'
import { markedName } from '../kernel/scratch.js'
import { run, tryRun } from '../process/spawned.js'
import { keysOf } from './stores.js'
import { thinCheck } from '../kernel/dmsetup.js'

/** A moment at which the power might have gone, and what had been promised by then. */
export interface Moment {
  readonly mark: string
  readonly keys: readonly string[]
  readonly gone: readonly string[]
  readonly dataBytes: number
}

/** What a store has promised so far, and the moments at which somebody noted it. */
export class Promises {
  readonly keys = new Set<string>()
  readonly gone = new Set<string>()
  /** The least that the pool has of data. */
  dataBytes = 0
  /** What the file `content` of a layer holds, if the layer is there. */
  readonly contents = new Map<string, string>()
  readonly moments: Moment[] = []

  /** Notes what is promised now; returns the mark for the disks' logs. */
  moment(label: string): string {
    const mark = `${this.moments.length}-${label}`
    this.moments.push({ mark, keys: [...this.keys], gone: [...this.gone], dataBytes: this.dataBytes })
    return mark
  }
}

const DATABASE = ['layers.db', 'layers.db-wal']

/** Copies what the records' disk has after the power came back: its file system recovers its log, in a copy. */
export async function recoverRecords(image: string, folder: string): Promise<void> {
  const [copy, target] = [path.join(folder, 'recovering.img'), path.join(folder, 'recovering')]
  copySparse(image, copy)
  mkdirSync(target)
  const loop = await LoopDevice.attach({ file: copy })
  await mount({ source: loop.path, target, type: 'ext4' })
  for (const file of DATABASE) {
    const from = path.join(target, file)
    if (existsSync(from)) copyFileSync(from, path.join(folder, file))
  }
  const owners = path.join(target, 'owners')
  if (existsSync(owners)) cpSync(owners, path.join(folder, 'owners'), { recursive: true })
  await unmount(target)
  await loop.detach()
  run('rm', ['-r', copy, target])
}

/**
 * Opens the store that `directory` holds the records and both images of, and compares it with the promises of a moment.
 * Returns whether blocks have leaked. The kernel counts blocks once more while it passes their discard on; a commit
 * meanwhile keeps that count (drivers/md/dm-thin.c, process_prepared_discard_passdown_pt1). The pool works as it is;
 * thin_check reports it, and thin_repair counts anew. `look` compares more.
 */
export async function checkAfterPowerLoss(
  directory: string,
  promises: Promises,
  moment: Moment,
  look: (store: LayerStore) => Promise<void> = async () => {},
): Promise<boolean> {
  const { mark, keys, gone } = moment
  const name = markedName('after')
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
  for (const key of there.filter(each => promises.contents.has(each))) {
    const content = await store.withMounted(key, async folder => readFileSync(path.join(folder, 'content'), 'utf8'))
    const complete = content === promises.contents.get(key)
    expect({ mark, key, complete }).toEqual({ mark, key, complete: true })
  }
  await look(store)
  const { pool } = await store.status()
  expect(pool.data?.totalBytes).toBeGreaterThanOrEqual(moment.dataBytes)
  expect(await store.cleanup()).toEqual([])
  expect({ mark, verified: await store.verify() }).toEqual({ mark, verified: [] })
  await store.close()
  await takeDown(name)
  thinCheck(leaked ? repaired(place.metadata.file) : place.metadata.file)
  return leaked
}

export const copySparse = (from: string, to: string): void => void run('cp', ['--sparse=always', from, to])

function repaired(file: string): string {
  const output = `${file}.repaired`
  run('truncate', [`--reference=${file}`, output])
  run('thin_repair', ['-i', file, '-o', output])
  return output
}
