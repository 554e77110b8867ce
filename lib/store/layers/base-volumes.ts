// One empty file system for each type and size: every root layer is a snapshot of it, so that it is made once.
import { chmod, rmdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { StoreContext } from '../engine/context.js'
import { mountedInside, mountOf } from '../engine/temporary-mounts.js'
import type { Row } from '../records/row.js'
import { end } from '../recovery/recover.js'
import { step } from '../common/step-channel.js'
import type { LayerFileSystem } from '../common/types.js'
import { isTaken, undoing } from '../engine/rollback.js'

const PAUSE_MS = 20

/**
 * Removes empty file systems on which nothing stands, except that of the sizes that this store makes: of another size
 * nothing else would ever take it away.
 */
export async function removeUnusedBases(store: StoreContext): Promise<void> {
  const { records, writer, owner, removals, fileSystem, sizeBytes } = store
  const gone = await writer.write(() =>
    records
      .unusedBases()
      .filter(row => row.fileSystem !== fileSystem || row.sizeBytes !== sizeBytes)
      .map(row => records.abandon(row.id, ['ready'], owner.id)!),
  )
  for (const row of gone) removals.add(row)
}

export class Bases {
  readonly #making = new Map<string, Promise<Row>>()

  /** The base, made if there is none. Another process that makes it is waited for. */
  get(store: StoreContext, fileSystem: LayerFileSystem, sizeBytes: number): Promise<Row> {
    const there = store.records.base(fileSystem, sizeBytes)
    if (there?.state === 'ready') return Promise.resolve(there)
    const name = `${fileSystem} ${sizeBytes}`
    let making = this.#making.get(name)
    if (!making) {
      making = this.#made(store, fileSystem, sizeBytes).finally(() => this.#making.delete(name))
      this.#making.set(name, making)
    }
    return making
  }

  async #made(store: StoreContext, fileSystem: LayerFileSystem, sizeBytes: number): Promise<Row> {
    const { records, writer, owner } = store
    for (;;) {
      const there = records.base(fileSystem, sizeBytes)
      if (there?.state === 'ready') return there
      if (there) {
        if (await owner.lives(there.owner!)) await sleep(PAUSE_MS)
        else await end(store, there, await store.volumes.ids())
        continue
      }
      const row = await writer.write(() => {
        if (records.base(fileSystem, sizeBytes)) return undefined // another process was first
        const at = store.clock()
        const base = { key: null, kind: 'base', state: 'making', parent: null, labels: {} } as const
        return records.insert({ ...base, owner: owner.id, sizeBytes, fileSystem, at })
      })
      if (!row) continue
      try {
        return await undoing(store, row, made => format(store, row, made))
      } catch (fault) {
        if (!isTaken(fault)) throw fault
      }
    }
  }
}

async function format(store: StoreContext, row: Row, made: () => void): Promise<Row> {
  const { volumes, points, records, writer } = store
  const name = `${row.fileSystem} ${row.sizeBytes}`
  step('base.create', name)
  const volume = await volumes.create(row)
  made()
  step('base.activate', name)
  await volume.activate()
  step('base.format', name)
  await store.format({ fileSystem: row.fileSystem, device: volume.path, zeroed: store.zeroed })
  step('base.empty', name)
  await mountedInside(store, mountOf(row, volume.path), async folder => {
    // A layer's root is empty, and may be read by all, as images expect it.
    await rmdir(path.join(folder, 'lost+found')).catch((fault: NodeJS.ErrnoException) => {
      if (fault.code !== 'ENOENT') throw fault
    })
    await chmod(folder, 0o755)
  })
  const mappedBytes = await volumes.mappedBytes(volume)
  step('base.deactivate', name)
  await volume.deactivate()
  step('base.point', name)
  const transaction = await points.point()
  step('base.record', name)
  return writer.write(() => {
    records.noteTransaction(transaction)
    return records.update(row.id, ['making'], { state: 'ready', owner: null, mappedBytes })!
  })
}
