// The calls of `LayerStore` on whole devices: copies of layers in use, images of disks, and sizes.
import { randomUUID } from 'node:crypto'
import { throwIfAborted } from '../base/errors.js'
import { checkNumber, checkOptions, checkPath, invalid, signalOption } from '../base/options.js'
import { MiB } from '../base/units.js'
import type { DeltaRange } from '../metadata/ranges.js'
import type { Bookmark, BookmarkOptions, WalkOptions as BlockWalkOptions } from '../metadata/walk-options.js'
import type { ThinPool } from '../pool/thin-pool.js'
import { ThinMetadata } from '../thin-metadata/thin-metadata.js'
import type {
  CommitOptions,
  ExportRawOptions,
  ForkOptions,
  ForkResult,
  ImportRawOptions,
  ResetOptions,
  ResizeOptions,
} from './call-options.js'
import { checkKey, checkLabels } from './common/options.js'
import { LayerStoreBase } from './layer-store-base.js'
import { checkpoint } from './layers/checkpoint.js'
import { fork } from './layers/fork.js'
import { Layer } from './layers/layer.js'
import { reset } from './layers/reset.js'
import { resize } from './layers/resize.js'
import { exportRaw, importRaw, openRaw } from './layers/raw-image.js'
import type { Row } from './records/row.js'
import { readyRow, stateError } from './records/rows.js'

/** The limit of layers that one call of `fork` makes. One transaction makes them visible. */
const MOST_FORKS = 1_000

/** The part of `LayerStore` that works on whole devices of layers. */
export abstract class LayerStoreDevices extends LayerStoreBase {
  /**
   * Creates a committed layer with the content of an active layer, which stays active and in use. A mounted file system is
   * frozen while the snapshot is taken, so that the new layer has the content of one moment. A raw layer has the content of
   * its device at one moment, as after a loss of power. The new layer has the parent of the active layer.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_EXISTS` (the name), `DM_LAYER_STATE` (the layer is not active),
   * `DM_LAYER_DAMAGED` (its file system has errors), `DM_POOL_FULL`, `DM_POOL_READ_ONLY`, `DM_POOL_FAILED`,
   * `DM_POOL_WORN`, `ABORT_ERR`. If the call rejects, it leaves nothing behind.
   */
  async checkpoint(name: string, key: string, options: CommitOptions = {}): Promise<void> {
    checkOptions(options, ['labels', 'signal'], 'checkpoint')
    const [to, from] = [checkKey('name', name), checkKey('key', key)]
    const labels = checkLabels(options.labels ?? {})
    throwIfAborted(options.signal)
    await this.alone([to, from], () => checkpoint(this.store, from, { name: to, labels, signal: options.signal }))
  }

  /**
   * Saves the mappings of a layer's volume in a file, with which `changedSince` of any layer of the store returns what has
   * changed since, also if this one is removed. The layer must not have been written since a snapshot of it: it is a view, a
   * layer that `checkpoint` or `fork` has committed, or one that is a parent. The layer's volume is not
   * deleted during the call.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE`, `DM_BOOKMARK_INVALID` (the layer was written since), and like
   * `ThinMetadata.bookmark` and `ThinMetadata.open`.
   */
  async bookmark(key: string, path: string, options: BookmarkOptions = {}): Promise<Bookmark> {
    checkOptions(options, ['onProgress', 'signal'], 'bookmark')
    checkKey('key', key)
    checkPath('path', path)
    const save = async ({ thin }: Row) => {
      const metadata = await ThinMetadata.open(this.store.pool, signalOption(options.signal))
      return metadata.bookmark(thin, path, options).finally(() => metadata.close())
    }
    return this.run(() => this.store.leases.using(key, save))
  }

  /**
   * Returns the differences from the mappings that `bookmark` has saved, on the left, to those of a layer's volume at the
   * call, on the right, by ascending data block of the pool. The layer is not removed until the iteration ends. What the page
   * cache of a mounted layer has and its device not, is not found.
   *
   * Throws `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE`, and like `ThinMetadata.changedSince` and `ThinMetadata.open`.
   */
  async *changedSince(key: string, path: string, options: BlockWalkOptions = {}): AsyncGenerator<DeltaRange, void> {
    checkOptions(options, ['from', 'to', 'onProgress', 'signal'], 'changedSince')
    checkKey('key', key)
    checkPath('path', path)
    const lease = await this.run(() => this.store.leases.take(key, 'use'))
    try {
      const metadata = await ThinMetadata.open(this.store.pool, signalOption(options.signal))
      try {
        yield* metadata.changedSince(path, lease.row.thin, options)
      } finally {
        await metadata.close()
      }
    } finally {
      await lease.release()
    }
  }

  /**
   * Forks an active layer that stays in use: creates a checkpoint of it, and an active layer on the checkpoint for each of
   * `keys`, 1 to 1000. The layer is suspended once, whatever the number of keys. All layers appear at the same time, or
   * none: also if this process dies. When the promise resolves, their devices exist and everything is committed.
   *
   * Rejects as `checkpoint` does, and with `DM_LAYER_EXISTS` (one of the keys).
   */
  async fork(key: string, keys: readonly string[], options: ForkOptions = {}): Promise<ForkResult> {
    checkOptions(options, ['name', 'labels', 'onProgress', 'signal'], 'fork')
    const from = checkKey('key', key)
    if (!Array.isArray(keys) || keys.length === 0 || keys.length > MOST_FORKS)
      throw invalid(`keys must be a list of 1 to ${MOST_FORKS} keys`)
    keys.forEach((each, at) => checkKey(`keys[${at}]`, each))
    const name = checkKey('name', options.name ?? `${from}@${randomUUID()}`)
    const all = [name, from, ...(keys as readonly string[])]
    if (new Set(all).size < all.length) throw invalid('keys, key and name must differ from each other')
    const labels = checkLabels(options.labels ?? {})
    const { onProgress, signal } = options
    throwIfAborted(signal)
    const forked = await this.alone(all, () => fork(this.store, from, { name, keys, labels, onProgress, signal }))
    return { name, layers: forked.map(({ row, path }) => new Layer(row, path)) }
  }

  /**
   * Grows an active layer while it is in use: its device, and the file system on it, mounted or not, unless the layer is
   * raw. Layers never shrink. If a call was interrupted, repeat it with the same size.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (the layer is not active), `DM_INVALID_ARGUMENT` (smaller than the
   * layer), `DM_POOL_FAILED`, `DM_BUSY`, `ABORT_ERR`, and with the codes of `growFileSystem`.
   */
  async resize(key: string, options: ResizeOptions): Promise<void> {
    checkOptions(options, ['sizeBytes', 'signal'], 'resize')
    checkKey('key', key)
    const sizeBytes = checkNumber('sizeBytes', options.sizeBytes, { min: MiB, multipleOf: MiB })
    throwIfAborted(options.signal)
    await this.alone([key], () => resize(this.store, key, sizeBytes, options.signal))
  }

  /**
   * Resets an active layer: its device gets the content of the layer's parent, or of another committed layer. The device
   * keeps its path, its number and its size, and programs that have it open keep their descriptors. What they write from the
   * moment of the reset on is kept. The file system of the layer must not be mounted. Pages of the device that a program has
   * mapped into memory may keep the former content. Needs three of the snapshots that the pool can create in its life.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (the layer is not active, or has no parent), `DM_BUSY` (mounted, with
   * `holders`, or in use by another call), `DM_INVALID_ARGUMENT` (the other layer is larger, is not committed, or differs in
   * its file system), `DM_POOL_READ_ONLY`, `DM_POOL_FAILED`, `DM_POOL_SUSPENDED`, `DM_POOL_WORN`, `ABORT_ERR`. If the call
   * rejects, the layer has its former content; if the pool fails during the call, repeat the call, or open the store again.
   */
  async reset(key: string, options: ResetOptions = {}): Promise<void> {
    checkOptions(options, ['to', 'signal'], 'reset')
    checkKey('key', key)
    const to = options.to === undefined ? undefined : checkKey('to', options.to)
    const { signal } = options
    throwIfAborted(signal)
    await this.alone(to === undefined ? [key] : [key, to], () => reset(this.store, key, { to, signal }))
  }

  /**
   * Creates a committed raw layer without a parent from an image of a disk: the path of a file or of a block device, or a
   * stream of its bytes. Zeros take no space. Raw layers are block devices that the host never mounts: see
   * `PrepareOptions.raw`. The content of a block device must not change during the call.
   *
   * Rejects with `DM_LAYER_EXISTS`, `DM_LAYER_LIMIT` (the image is larger than `sizeBytes`), `DM_LAYER_SPACE` (the pool is
   * full), `DM_FILE_MISSING`, `DM_POOL_FULL`, `DM_POOL_READ_ONLY`, `DM_POOL_FAILED`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`, and
   * with the error of the stream. If the call rejects, it leaves nothing behind.
   */
  async importRaw(
    name: string,
    image: string | AsyncIterable<Uint8Array>,
    options: ImportRawOptions = {},
  ): Promise<void> {
    checkOptions(options, ['sizeBytes', 'labels', 'onProgress', 'signal'], 'importRaw')
    checkKey('name', name)
    const labels = checkLabels(options.labels ?? {})
    const { onProgress, signal } = options
    const given =
      options.sizeBytes === undefined
        ? undefined
        : checkNumber('sizeBytes', options.sizeBytes, { min: MiB, multipleOf: MiB })
    await this.alone([name], async () => {
      throwIfAborted(signal)
      const source = await openRaw(image)
      try {
        const sizeBytes = given ?? source.sizeBytes
        if (sizeBytes === undefined) throw invalid('sizeBytes is needed if the image is a stream')
        await importRaw(this.store, { name, sizeBytes, labels, image: source.bytes, onProgress, signal })
      } finally {
        await source.close()
      }
    })
  }

  /**
   * Writes the content of the device of a committed layer or a view to a new file. Blocks of zeros become holes. Resolves
   * when the file is on its disk. A layer that is not raw is exported with its file system.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (the layer is active: make a checkpoint of it), `ABORT_ERR`, with
   * the codes of `view`, and with the error of the file: EEXIST if it exists. If the call rejects, the file is removed.
   */
  async exportRaw(key: string, file: string, options: ExportRawOptions = {}): Promise<void> {
    checkOptions(options, ['onProgress', 'signal'], 'exportRaw')
    checkKey('key', key)
    checkPath('file', file)
    const { onProgress, signal } = options
    throwIfAborted(signal)
    await this.run(() => exportRaw(this.store, { key, file, onProgress, signal }))
  }

  /** @internal Returns the volume of a committed layer. Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE`. */
  async committedVolume(key: string): Promise<{ pool: ThinPool; id: number; sizeBytes: number }> {
    checkKey('key', key)
    return this.run(async () => {
      const row = readyRow(this.store.records, key)
      if (row.kind !== 'committed') throw stateError(row, `a committed layer is needed, and it is ${row.kind}`)
      return { pool: this.store.pool, id: row.thin, sizeBytes: row.sizeBytes }
    })
  }
}
