// The main class of `dm-thin/store`: image layers on a thin pool.
import { randomUUID } from 'node:crypto'
import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { hasCode, throwIfAborted } from '../base/errors.js'
import {
  checkBoolean,
  checkOptions,
  type SignalOption,
  invalid,
  checkNumber,
  checkPath,
  signalOption,
} from '../base/options.js'
import { Pending } from '../base/pending.js'
import { MiB } from '../base/units.js'
import type { DeltaRange } from '../metadata/ranges.js'
import type { Bookmark, BookmarkOptions, WalkOptions as BlockWalkOptions } from '../pool/metadata-read/walk.js'
import type { GrowOptions } from '../pool/lifecycle/grow.js'
import type { RemovedPool } from '../pool/lifecycle/remove.js'
import type { ThinPool } from '../pool/thin-pool.js'
import { ThinMetadata } from '../pool/thin-metadata.js'
import type { StoreFinding } from './common/findings.js'
import type { LayerInfo, LayerMount, LayerUsage } from './common/layer-types.js'
import { stagingFolder } from './common/staging.js'
import { step } from './common/step-channel.js'
import {
  checkKey,
  checkLabels,
  checkOpen,
  checkPrepare,
  type OpenStoreOptions,
  type PrepareOptions,
  type PoolPlace,
} from './common/store-options.js'
import { changes, type Change, type ChangesOptions } from './compare/changes.js'
import type { Lease } from './engine/leases.js'
import type { StuckRemoval } from './engine/removal-queue.js'
import { exportImage, type ExportOptions } from './images/export.js'
import type { ImportOptions } from './images/import-options.js'
import { importImage, type ImportedImage } from './images/import.js'
import type {
  ApplyLayerOptions,
  CommitOptions,
  UpdateOptions,
  WalkOptions,
  WithMountedOptions,
  ExportRawOptions,
  ForkOptions,
  ForkResult,
  ImportRawOptions,
  ResetOptions,
  ResizeOptions,
  StoreMetrics,
  StoreStatus,
} from './layer-store-options.js'
import { checkpoint } from './layers/checkpoint.js'
import { addCommitted, commit } from './layers/commit.js'
import { fork } from './layers/fork.js'
import { withLayerMounted } from './layers/layer-mount.js'
import { Layer } from './layers/layer.js'
import { prepare } from './layers/prepare.js'
import { prunable, type PruneOptions } from './layers/prune.js'
import { exportRaw, importRaw, openRaw } from './layers/raw-image.js'
import { reset } from './layers/reset.js'
import { resize } from './layers/resize.js'
import { layerUsage, spaceOf, type LayerSpace } from './layers/space.js'
import { allocateMetadata } from './open/pool-growth.js'
import { closeStore, takeDownStore } from './open/close-store.js'
import { openStore, type OpenStore } from './open/open-store.js'
import { hasChildren, readyRow, stateError, visible } from './records/layer-lookup.js'
import { infoOf, type Row } from './records/row.js'
import { recover } from './recovery/recover.js'
import { repair, type RepairOptions } from './recovery/repair-store.js'
import { verify } from './recovery/verify.js'
import { applyTar, type ApplyResult } from './tar-read/apply-tar.js'
import { archiveChunks, WatchedStream } from './tar-read/layer-file.js'
import { diffTar, type DiffTarOptions } from './tar-write/diff-tar.js'

/** The number of records that `walk` reads at once. */
const PAGE = 500
/** The limit of layers that one call of `fork` makes. One transaction makes them visible. */
const MOST_FORKS = 1_000
/** The limit of `warm`. Each warm layer is a mapped device of the kernel, so that a larger number is probably a mistake. */
const MAX_WARM = 1_000

/** A store of image layers on a thin pool, in the terms of containerd's snapshotters. */
export class LayerStore {
  readonly #store: OpenStore
  readonly #pending: Pending
  /** The inconsistencies that `open` found, and the actions that it took. */
  readonly findings: readonly StoreFinding[]

  private constructor(store: OpenStore, findings: readonly StoreFinding[]) {
    this.#store = store
    this.#pending = new Pending(`the store in ${store.directory}`)
    this.findings = findings
  }

  /**
   * Opens the store in a directory. Creates the records and the pool if they do not exist. Several processes can have
   * the same store open. Recovers what a crashed process left behind, and reports it in `findings`.
   *
   * Rejects with `DM_DEPENDENCY` if this Node has no SQLite and better-sqlite3 is not installed, and with
   * `DM_STORE_DATABASE`. Rejects with `DM_STORE_MISMATCH` if the pool or disk is not the recorded one, if layers are
   * recorded and the pool does not exist, or if the pool is not empty and has no records. Also rejects with the codes of
   * `ThinPool.open` and `ThinPool.create`.
   */
  static async open(options: OpenStoreOptions): Promise<LayerStore> {
    const plan = checkOpen(options)
    throwIfAborted(plan.signal)
    const store = await openStore(plan)
    try {
      return new LayerStore(store, await recover(store))
    } catch (fault) {
      await closeStore(store)
      throw fault
    }
  }

  /** The directory of the store, as an absolute path. */
  get directory(): string {
    return this.#store.directory
  }

  /** The name of the pool's mapped device. */
  get poolName(): string {
    return this.#store.pool.name
  }

  /**
   * Creates an active layer: a writable snapshot of the committed layer `parent`, or of an empty file system if `parent`
   * is `''`. When the promise resolves, the layer's device exists and the snapshot is committed to the pool's disk. If the
   * call rejects, it leaves nothing behind.
   *
   * Rejects with `DM_LAYER_EXISTS`, `DM_LAYER_NOT_FOUND` (the parent), `DM_INVALID_ARGUMENT` (the parent is not
   * committed, or the size is invalid), `DM_POOL_FULL`, `DM_POOL_READ_ONLY`, `DM_POOL_WORN` (the pool cannot create
   * further snapshots; `status().pool.snapshots` reports how many are left), `DM_DEPENDENCY` (mkfs, for the first
   * layer of a size), `ABORT_ERR`.
   */
  async prepare(key: string, parent = '', options: PrepareOptions = {}): Promise<Layer> {
    return this.#make('active', key, parent, checkPrepare(options, 'prepare'))
  }

  /** Creates a view: a read-only snapshot of a committed layer. It cannot be committed. Rejects as `prepare` does. */
  async view(key: string, parent = '', options: PrepareOptions = {}): Promise<Layer> {
    return this.#make('view', key, parent, checkPrepare(options, 'view'))
  }

  /**
   * Commits an active layer: it becomes a committed layer named `name`, which other layers can have as parent. Unmount the
   * layer first. If it is still mounted, it is frozen briefly, and the committed layer has the content of that moment.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_EXISTS` (the name), `DM_LAYER_STATE` (the layer is not active),
   * `DM_LAYER_DAMAGED` (its file system has errors), `DM_POOL_FULL`, `DM_POOL_READ_ONLY`, `DM_POOL_FAILED` (the pool does
   * not accept all writes), `DM_POOL_WORN` (the layer is mounted, and the pool cannot create further snapshots). If the
   * call rejects, the layer stays active.
   */
  async commit(name: string, key: string, options: CommitOptions = {}): Promise<void> {
    checkOptions(options, ['labels', 'signal'], 'commit')
    const [to, from] = [checkKey('name', name), checkKey('key', key)]
    const labels = checkLabels(options.labels ?? {})
    await this.#alone([to, from], () => commit(this.#store, from, { name: to, labels, signal: options.signal }))
  }

  /**
   * Returns the arguments of mount(2) for an active layer or a view. Activates its device if it does not exist, for
   * example after a restart of the machine. Returns an empty list for a raw layer: see `layer`. Rejects with
   * `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (the layer is committed).
   */
  async mounts(key: string, options: SignalOption = {}): Promise<LayerMount[]> {
    return [...(await this.layer(key, options)).mounts]
  }

  /** Returns an existing active layer or view. Activates its device if it does not exist. Rejects as `mounts` does. */
  async layer(key: string, options: SignalOption = {}): Promise<Layer> {
    checkOptions(options, ['signal'], 'layer')
    checkKey('key', key)
    const check = (row: Row) => {
      if (row.kind === 'committed') throw stateError(row, 'it is committed: prepare or view a child of it')
    }
    const activated = async (row: Row) => {
      const volume = await this.#store.volumes.active(row, options.signal)
      return new Layer(row, volume.path)
    }
    return this.#alone([key], () => this.#store.leases.using(key, activated, check))
  }

  /**
   * Removes a layer. When the promise resolves, no caller finds the layer any more, even after a loss of power. Its volume
   * is deleted in the background as soon as it is not mounted, and its blocks become free at that time (see `cleanup`).
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_HAS_CHILDREN`, `DM_LAYER_STATE` (the layer is being committed, or a
   * running import needs it).
   */
  async remove(key: string): Promise<void> {
    await this.#alone([checkKey('key', key)], async () => {
      const { records, writer, removals, leases } = this.#store
      await leases.living(records.byKey(key)?.thin) // deletes the leases of dead owners
      step('remove.intent', key)
      const row = await writer.write(() => {
        const found = readyRow(records, key)
        const child = records.childOf(found.id)
        if (child) throw hasChildren(key, child)
        if (records.leases.of(found.thin).some(({ kind }) => kind === 'keep'))
          throw stateError(found, 'an import needs it')
        return records.abandon(found.id, ['ready'], this.#store.owner.id)!
      })
      removals.add(row)
      await this.#store.warm.drop(key)
    })
  }

  /** Returns the record of a layer. Reads the records only. Rejects with `DM_LAYER_NOT_FOUND`. */
  async stat(key: string): Promise<LayerInfo> {
    return this.#run(async () => infoOf(visible(this.#store.records, checkKey('key', key))))
  }

  /**
   * Changes the labels of a layer, sets its `updatedAt`, and returns its new record. Rejects with `DM_LAYER_NOT_FOUND`,
   * `DM_LAYER_STATE` (the layer is being committed).
   */
  async update(key: string, change: UpdateOptions): Promise<LayerInfo> {
    checkOptions(change, ['labels', 'setLabels'], 'update')
    if (change.labels !== undefined) checkLabels(change.labels)
    if (change.setLabels !== undefined) checkLabels(change.setLabels)
    return this.#alone([checkKey('key', key)], () =>
      this.#store.writer.write(() => {
        const { records } = this.#store
        const row = readyRow(records, key)
        const labels = { ...(change.labels ?? row.labels), ...change.setLabels }
        for (const [name, value] of Object.entries(change.setLabels ?? {})) if (value === '') delete labels[name]
        return infoOf(records.update(row.id, ['ready'], { labels, updatedAt: this.#store.clock() })!)
      }),
    )
  }

  /**
   * Returns all layers, in the order of the bytes of their keys. Layers that are created or removed during the iteration
   * may be included or not.
   */
  async *walk(options: WalkOptions = {}): AsyncGenerator<LayerInfo> {
    checkOptions(options, ['filter'], 'walk')
    const { filter = () => true } = options
    if (typeof filter !== 'function') throw invalid('filter must be a function')
    for (let after = ''; ;) {
      const rows = await this.#run(async () => this.#store.records.page(after, PAGE))
      for (const info of rows.map(infoOf)) if (filter(info)) yield info
      if (rows.length < PAGE) return
      after = rows.at(-1)!.key!
    }
  }

  /**
   * Returns the space that a layer added to its parent: its mapped blocks minus those of the parent, in bytes. `inodes` is
   * always 0, because a block device has no file count. Activates nothing and writes no record. The mapped blocks of a
   * committed layer are those of its commit; of another layer those of now if its device exists, otherwise those of the
   * pool's last commit.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (the layer is being committed), `DM_METADATA_BUSY` (the layer has no
   * device, and the pool commits faster than its metadata can be read).
   */
  async usage(key: string, options: SignalOption = {}): Promise<LayerUsage> {
    checkOptions(options, ['signal'], 'usage')
    checkKey('key', key)
    return this.#alone([key], () => layerUsage(this.#store, key, options.signal))
  }

  /**
   * Mounts a layer at a folder of the store while `body` runs, and returns the result of `body`. For a committed layer, a
   * temporary view is mounted, or the layer itself, read-only, if the pool cannot create further snapshots. Other private
   * mount namespaces do not see the mount. Resolves when everything that was written is on the pool.
   *
   * Rejects with the error of `body`; with `DM_LAYER_SPACE` or `DM_LAYER_DAMAGED` if not everything that was written
   * reached the pool; with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE`, and the codes of `mount()` and `prepare`.
   */
  async withMounted<T>(
    key: string,
    body: (folder: string) => Promise<T>,
    options: WithMountedOptions = {},
  ): Promise<T> {
    checkOptions(options, ['readOnly', 'signal'], 'withMounted')
    const readOnly = checkBoolean('readOnly', options.readOnly)
    checkKey('key', key)
    return this.#run(() => withLayerMounted(this.#store, key, body, { readOnly, signal: options.signal }))
  }

  /**
   * Unpacks a layer of an image (a tar archive, plain or compressed with gzip or zstd) into an active layer. The archive is
   * a stream, or the path of a file. Uses file descriptors, so that nothing is written outside of the layer. The archive is
   * untrusted input. Resolves when everything is on the disk.
   *
   * Rejects with `DM_LAYER_TAR`, `DM_LAYER_LIMIT`, `DM_LAYER_DIGEST`, `DM_LAYER_SPACE`, `DM_DEPENDENCY` (tar-stream),
   * `DM_UNSUPPORTED`, `DM_LAYER_STATE`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`, and the error of the stream itself. If the call
   * rejects after the stream has delivered data, the layer is removed, because its content is incomplete (see
   * `keepFailed`). If it rejects before that, the layer stays as it was.
   */
  async applyLayer(
    key: string,
    archive: string | AsyncIterable<Uint8Array>,
    options: ApplyLayerOptions = {},
  ): Promise<ApplyResult> {
    const { keepFailed, ...rest } = options
    const keep = checkBoolean('keepFailed', keepFailed)
    checkKey('key', key)
    return this.#run(async () => {
      const watched = new WatchedStream(archiveChunks(archive))
      const check = (row: Row) => {
        if (row.kind !== 'active') throw stateError(row, `only an active layer can be written, and it is ${row.kind}`)
      }
      try {
        return await withLayerMounted(this.#store, key, folder => applyTar(folder, watched.stream, rest), {
          check,
          inside: true,
        })
      } catch (fault) {
        // The first error is the one that is reported.
        if (!keep && watched.hasGiven) await this.#removeUnused(key).catch(() => false)
        throw fault
      }
    })
  }

  /**
   * Returns the changes of a layer from its parent as the tar of an OCI layer, or its whole content if it has no parent.
   * The same files result in the same bytes. The work begins immediately; destroy the stream to cancel it. The stream
   * fails with the codes of `diffTar` in the guide, for example `DM_LAYER_CHANGED` if the layer is written concurrently,
   * or `DM_LAYER_NOT_FOUND`.
   */
  diffLayer(key: string, options: DiffTarOptions = {}): Readable {
    checkKey('key', key)
    const out = new PassThrough()
    const work = this.#run(async () => {
      const { parent } = await this.stat(key)
      await this.#withBoth(parent, key, async (lower, upper) => pipeline(diffTar(lower, upper, options), out))
    })
    work.catch((fault: Error) => out.destroy(fault))
    return out
  }

  /**
   * Returns the differences of `upper` from `lower`, by path: added, changed and deleted, as Docker's A, C and D. If
   * `lower` is `''`, everything in `upper` is added.
   */
  async *changes(lower: string, upper: string, options: ChangesOptions = {}): AsyncGenerator<Change> {
    if (lower !== '') checkKey('lower', lower)
    checkKey('upper', upper)
    yield* await this.#run(() => this.#withBoth(lower, upper, (one, other) => changes(one, other, options)))
  }

  /**
   * Unpacks an image. Each of its layers becomes a committed layer whose name is its chain id, followed by the values of
   * `devices` and `setuid` that are not the default. Layers that exist are not unpacked again. `source` is the directory of
   * an OCI layout, or an archive of one or of `docker save` (plain or compressed with gzip or zstd), by its path or as a
   * stream. The digest of each document and layer is verified.
   *
   * Rejects with `DM_IMAGE`, `DM_LAYER_DIGEST`, and the codes of `applyLayer`. If the call rejects, the layers that were
   * complete stay.
   */
  async importImage(source: string | AsyncIterable<Uint8Array>, options: ImportOptions = {}): Promise<ImportedImage> {
    return this.#run(() => importImage(this, this.#staging(), source, options))
  }

  /**
   * Returns a committed layer and all its ancestors as an archive that `docker load`, `ctr images import` and OCI tools
   * read. Destroy the stream to cancel it. The stream fails with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (the layer is not
   * committed), and the codes of `diffLayer`.
   */
  exportImage(top: string, options: ExportOptions = {}): Readable {
    checkKey('top', top)
    return exportImage(this, this.#staging(), top, options)
  }

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
    await this.#alone([to, from], () => checkpoint(this.#store, from, { name: to, labels, signal: options.signal }))
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
      const metadata = await ThinMetadata.open(this.#store.pool, signalOption(options.signal))
      return metadata.bookmark(thin, path, options).finally(() => metadata.close())
    }
    return this.#run(() => this.#store.leases.using(key, save))
  }

  /**
   * Returns the differences from the mappings that `bookmark` has saved, on the left, to those of a layer's volume at the
   * call, on the right, by ascending data block of the pool. The layer is not removed until the iteration ends. Data of a
   * mounted layer that is only in the page cache is not found.
   *
   * Throws `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE`, and like `ThinMetadata.changedSince` and `ThinMetadata.open`.
   */
  async *changedSince(key: string, path: string, options: BlockWalkOptions = {}): AsyncGenerator<DeltaRange, void> {
    checkOptions(options, ['from', 'to', 'onProgress', 'signal'], 'changedSince')
    checkKey('key', key)
    checkPath('path', path)
    const lease = await this.#run(() => this.#store.leases.take(key, 'use'))
    try {
      const metadata = await ThinMetadata.open(this.#store.pool, signalOption(options.signal))
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
    const forked = await this.#alone(all, () => fork(this.#store, from, { name, keys, labels, onProgress, signal }))
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
    await this.#alone([key], () => resize(this.#store, key, sizeBytes, options.signal))
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
    await this.#alone(to === undefined ? [key] : [key, to], () => reset(this.#store, key, { to, signal }))
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
    await this.#alone([name], async () => {
      throwIfAborted(signal)
      const source = await openRaw(image)
      try {
        const sizeBytes = given ?? source.sizeBytes
        if (sizeBytes === undefined) throw invalid('sizeBytes is needed if the image is a stream')
        await importRaw(this.#store, { name, sizeBytes, labels, image: source.bytes, onProgress, signal })
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
    await this.#run(() => exportRaw(this.#store, { key, file, onProgress, signal }))
  }

  /**
   * Keeps `count` warm layers of a committed layer ready, 0 to 1000. A warm layer is an active layer without a key, whose
   * snapshot is committed to disk. `prepare` takes one if it is called with this parent and without `sizeBytes`,
   * `fileSystem` and `raw`, and another is created in the background. Resolves when `count` warm layers are ready. If one
   * cannot be created, the background work stops until the next warm layer is taken. A `count` of 0 removes the warm
   * layers, as `close` does. Warm layers belong to this object only.
   *
   * Rejects with the codes of `prepare`.
   */
  async warm(parent: string, count: number): Promise<void> {
    checkKey('parent', parent)
    checkNumber('count', count, { min: 0, max: MAX_WARM })
    await this.#run(() => this.#store.warm.keep(parent, count))
  }

  /**
   * Waits until the volumes of removed layers are deleted from the pool. Returns those that cannot be deleted yet, with
   * their holders. Rejects with `DM_STORE_DATABASE` if the records cannot be written.
   */
  async cleanup(): Promise<StuckRemoval[]> {
    return this.#run(() => this.#store.removals.drain())
  }

  /**
   * Returns the usage and mode of the pool, and the numbers of layers, of removals in progress and of warm layers. Rejects
   * as `ThinPool.status` does.
   */
  async status(options: SignalOption = {}): Promise<StoreStatus> {
    checkOptions(options, ['signal'], 'status')
    return this.#run(async () => ({
      pool: await this.#store.pool.status(options),
      layers: this.#store.records.count(),
      removing: this.#store.removals.size,
      warm: this.#store.warm.sizes(),
    }))
  }

  /** Returns the numbers of the store and of its pool for a monitor, with one call. Rejects as `status` does. */
  async metrics(options: SignalOption = {}): Promise<StoreMetrics> {
    checkOptions(options, ['signal'], 'metrics')
    const { pool, records, removals, warm } = this.#store
    return this.#run(async () => ({
      ...(await pool.metrics(options)),
      layers: records.count(),
      removing: removals.size,
      warm: Object.values(warm.sizes()).reduce((sum, ready) => sum + ready, 0),
    }))
  }

  /**
   * Grows the pool while it runs. Rejects with the codes of `ThinPool.grow`. The space of a metadata file is allocated, so
   * that the file system below it cannot run out of space later; rejects with `DM_POOL_FULL` if there is not enough space.
   */
  async grow(options: GrowOptions): Promise<void> {
    await this.#run(async () => {
      step('grow.pool', '')
      await this.#store.pool.grow(options)
      step('grow.allocate', '')
      const { metadata } = JSON.parse(this.#store.records.get('pool')!) as PoolPlace
      if (options.metadataBytes !== undefined) await allocateMetadata(metadata)
    })
  }

  /**
   * Removes committed layers that are not needed, the oldest first. A layer is needed if an active layer or a view has it
   * as an ancestor. It is also needed if `keep` names it or a layer above it, or if one of these has the label
   * `dm-thin/keep`, or the label `dm-thin/keep-until` with a time in the future, such as `2030-01-01T00:00:00Z`. Returns
   * the layers that were removed, or would be removed with `dryRun`. Also removes base volumes that no layer uses and
   * whose size or type is not that of `open`.
   * Rejects with `DM_STORE_DATABASE` if the records cannot be written.
   */
  async prune(options: PruneOptions = {}): Promise<LayerInfo[]> {
    return this.#run(async () => {
      const free = await prunable(this.#store, options)
      if (options.dryRun) return free
      const gone: LayerInfo[] = []
      for (const info of free) if (await this.#removeUnused(info.key)) gone.push(info)
      await this.#store.bases.removeUnused()
      return gone
    })
  }

  /**
   * Returns the exclusive and the shared blocks of each layer, in bytes, counted in the pool's metadata as of its last
   * commit. The time is proportional to the number of blocks of all layers. Rejects with `DM_METADATA_BUSY`.
   */
  async space(options: SignalOption = {}): Promise<LayerSpace[]> {
    checkOptions(options, ['signal'], 'space')
    return this.#run(() => spaceOf(this.#store, options.signal))
  }

  /**
   * Returns all inconsistencies between the records, the pool and the kernel's devices. Changes nothing. Rejects with
   * `DM_NOT_FOUND` if the pool was removed by other means than this object.
   */
  async verify(): Promise<StoreFinding[]> {
    return this.#run(() => verify(this.#store))
  }

  /**
   * Repairs the inconsistencies that are safe to repair. Unfinished calls of dead processes are ended, and their mounts are
   * unmounted. Records of layers whose volume is lost and that have no children are deleted. Leaked loop devices are
   * detached. With `deleteRetired`, volumes without a record are deleted. Nothing is deleted while the pool is older than
   * the records, unless `acceptPool` confirms the pool. Returns everything that was found, with the actions that were taken.
   * Rejects as `verify` does. The error of a repair that failed is in its finding.
   */
  async repair(options: RepairOptions = {}): Promise<StoreFinding[]> {
    checkOptions(options, ['dryRun', 'deleteRetired', 'acceptPool'], 'repair')
    checkBoolean('dryRun', options.dryRun)
    checkBoolean('deleteRetired', options.deleteRetired)
    checkBoolean('acceptPool', options.acceptPool)
    return this.#run(() => repair(this.#store, options))
  }

  /** Waits for the calls in progress and rejects new ones. Layers, devices, mounts and the pool stay. Idempotent. */
  async close(): Promise<void> {
    await this.#pending.close(() => closeStore(this.#store))
  }

  /** Calls `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * Closes the store and removes all mapped devices of its pool. The next `open` starts the pool again, with all its
   * layers. Returns the names of the devices that were removed. Rejects with `DM_BUSY` if another object has the store open, or if a
   * layer is mounted (see `holders`); in that case the store is closed and the pool stays.
   */
  async takeDown(): Promise<RemovedPool> {
    let removed: RemovedPool | undefined
    await this.#pending.close(async () => {
      removed = await takeDownStore(this.#store)
    })
    return removed ?? { pool: this.poolName, volumes: [], loops: [], files: [] }
  }

  /**
   * @internal Adds a committed layer and fills it in one call. The layer is not visible before it is complete. The lease
   * prevents its removal.
   */
  async addLayer(
    name: string,
    parent: string,
    fill: (folder: string) => Promise<unknown>,
    { labels = {}, signal }: CommitOptions,
  ): Promise<Lease> {
    return this.#alone([name], () => addCommitted(this.#store, parent, { name, labels, signal }, fill))
  }

  /**
   * @internal Takes a lease that prevents the removal of a committed layer. Rejects with `DM_LAYER_NOT_FOUND`,
   * `DM_LAYER_STATE`.
   */
  async keepLayer(key: string): Promise<Lease> {
    const check = (row: Row) => {
      if (row.kind !== 'committed') throw stateError(row, `a committed layer is needed, and it is ${row.kind}`)
    }
    return this.#run(() => this.#store.leases.take(key, 'keep', check))
  }

  /** @internal Returns the volume of a committed layer. Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE`. */
  async committedVolume(key: string): Promise<{ pool: ThinPool; id: number; sizeBytes: number }> {
    checkKey('key', key)
    return this.#run(async () => {
      const row = readyRow(this.#store.records, key)
      if (row.kind !== 'committed') throw stateError(row, `a committed layer is needed, and it is ${row.kind}`)
      return { pool: this.#store.pool, id: row.thin, sizeBytes: row.sizeBytes }
    })
  }

  /** Removes a layer unless it has been removed, or taken into use, concurrently. Returns whether it was removed. */
  async #removeUnused(key: string): Promise<boolean> {
    try {
      await this.remove(key)
      return true
    } catch (fault) {
      if (hasCode(fault, 'DM_LAYER_HAS_CHILDREN', 'DM_LAYER_NOT_FOUND', 'DM_LAYER_STATE')) return false
      throw fault
    }
  }

  async #make(kind: 'active' | 'view', key: string, parent: string, options: PrepareOptions): Promise<Layer> {
    checkKey('key', key)
    if (parent !== '') checkKey('parent', parent)
    return this.#alone([key], async () => {
      throwIfAborted(options.signal)
      const { sizeBytes, fileSystem, raw } = options
      const plain = kind === 'active' && sizeBytes === undefined && fileSystem === undefined && raw === undefined
      const warm = plain ? await this.#store.warm.take(key, parent, options.labels ?? {}) : undefined
      const { row, path } = warm ?? (await prepare(this.#store, { kind, key, parent, options }))
      return new Layer(row, path)
    })
  }

  /** Mounts both layers while `body` runs. If `lower` is `''`, only `upper` is mounted. */
  #withBoth<T>(
    lower: string,
    upper: string,
    body: (lower: string | undefined, upper: string) => Promise<T>,
  ): Promise<T> {
    const inside = { readOnly: true, inside: true }
    return withLayerMounted(
      this.#store,
      upper,
      async folder =>
        lower === ''
          ? body(undefined, folder)
          : withLayerMounted(this.#store, lower, below => body(below, folder), inside),
      inside,
    )
  }

  /** Returns an unused name for a folder of temporary files. */
  #staging(): string {
    return stagingFolder(this.directory, this.#store.owner.id)
  }

  /** Runs a call that `close()` waits for. */
  #run<T>(body: () => Promise<T>): Promise<T> {
    return this.#pending.run(body)
  }

  /** Runs a call that `close()` waits for, while no other call of this object on these layers runs. */
  #alone<T>(keys: readonly string[], body: () => Promise<T>): Promise<T> {
    return this.#run(() => this.#store.locks.run(keys, body))
  }
}
