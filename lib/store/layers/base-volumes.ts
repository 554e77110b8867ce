// Base volumes: one empty file system for each type and size, created once. Layers without a parent are snapshots of it.
import { chmod, rmdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { withPrivateMount, mountOf } from '../engine/temporary-mounts.js'
import type { Row } from '../records/row.js'
import type { StoreParts } from '../engine/parts.js'
import { endUnfinished } from '../engine/unfinished.js'
import { step } from '../common/step-channel.js'
import type { Formatter } from '../common/mkfs.js'
import { checkSize, type PrepareOptions } from '../common/store-options.js'
import type { LayerFileSystem } from '../common/layer-types.js'
import { isTaken, withRollback } from '../engine/rollback.js'

const PAUSE_MS = 20

export interface BaseOptions {
  readonly format: Formatter
  /** True if the pool zeroes a block before it is written in part. */
  readonly zeroed: boolean
  /** The default file system. */
  readonly fileSystem: LayerFileSystem
  readonly sizeBytes: number
}

type Wanted = Pick<PrepareOptions, 'fileSystem' | 'sizeBytes'>

type BaseParts = Pick<
  StoreParts,
  'directory' | 'records' | 'writer' | 'owner' | 'volumes' | 'points' | 'removals' | 'clock'
>

/** The base volumes of a store. */
export class BaseVolumes {
  readonly #parts: BaseParts
  readonly #options: BaseOptions
  readonly #making = new Map<string, Promise<Row>>()

  constructor(parts: BaseParts, options: BaseOptions) {
    this.#parts = parts
    this.#options = options
  }

  /** Returns the base volume for a layer without a parent, if it is ready. */
  find(wanted: Wanted = {}): Row | undefined {
    const { fileSystem, sizeBytes } = this.#typeOf(wanted)
    const there = this.#parts.records.base(fileSystem, sizeBytes)
    return there?.state === 'ready' ? there : undefined
  }

  /** Returns the base volume for a layer without a parent. Creates it, or waits for another process that creates it. */
  get(wanted: Wanted = {}): Promise<Row> {
    const there = this.find(wanted)
    if (there) return Promise.resolve(there)
    const { fileSystem, sizeBytes } = this.#typeOf(wanted)
    const name = `${fileSystem} ${sizeBytes}`
    let making = this.#making.get(name)
    if (!making) {
      making = this.#made(fileSystem, sizeBytes).finally(() => this.#making.delete(name))
      this.#making.set(name, making)
    }
    return making
  }

  /**
   * Removes base volumes without layers, except the one of the default file system and size. No other call would remove
   * base volumes of other sizes.
   */
  async removeUnused(): Promise<void> {
    const { records, writer, owner, removals } = this.#parts
    const { fileSystem, sizeBytes } = this.#options
    const gone = await writer.write(() =>
      records
        .unusedBases()
        .filter(row => row.fileSystem !== fileSystem || row.sizeBytes !== sizeBytes)
        .map(row => records.abandon(row.id, ['ready'], owner.id)!),
    )
    for (const row of gone) removals.add(row)
  }

  #typeOf(wanted: Wanted): { readonly fileSystem: LayerFileSystem; readonly sizeBytes: number } {
    const fileSystem = wanted.fileSystem ?? this.#options.fileSystem
    return { fileSystem, sizeBytes: checkSize(wanted.sizeBytes ?? this.#options.sizeBytes, fileSystem) }
  }

  async #made(fileSystem: LayerFileSystem, sizeBytes: number): Promise<Row> {
    const { records, writer, owner, volumes, clock } = this.#parts
    for (;;) {
      const there = records.base(fileSystem, sizeBytes)
      if (there?.state === 'ready') return there
      if (there) {
        if (await owner.isAlive(there.owner!)) await sleep(PAUSE_MS)
        else await endUnfinished(this.#parts, there, await volumes.ids())
        continue
      }
      const row = await writer.write(() => {
        if (records.base(fileSystem, sizeBytes)) return undefined // another process was first
        const base = { key: null, kind: 'base', state: 'making', parent: null, labels: {} } as const
        return records.insert({ ...base, owner: owner.id, sizeBytes, fileSystem, at: clock() })
      })
      if (!row) continue
      try {
        return await withRollback(this.#parts, row, made => this.#format(row, made))
      } catch (fault) {
        if (!isTaken(fault)) throw fault
      }
    }
  }

  async #format(row: Row, made: () => void): Promise<Row> {
    const { volumes, points, records, writer } = this.#parts
    const name = `${row.fileSystem} ${row.sizeBytes}`
    step('base.create', name)
    const volume = await volumes.create(row)
    made()
    step('base.activate', name)
    await volume.activate()
    step('base.format', name)
    await this.#options.format({ fileSystem: row.fileSystem, device: volume.path, zeroed: this.#options.zeroed })
    step('base.empty', name)
    await withPrivateMount(this.#parts, mountOf(row, volume.path), async folder => {
      // Images expect a root that is empty and readable by all.
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
}
