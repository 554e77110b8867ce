// The main class of `dm-thin/store`: image layers on a thin pool.
import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { hasCode, throwIfAborted } from '../base/errors.js'
import { checkBoolean, checkOptions, type SignalOption, invalid } from '../base/options.js'
import { addCommitted, commit } from './layers/commit.js'
import { changes, type Change, type ChangesOptions } from './compare/changes.js'
import { diffTar, type DiffTarOptions } from './tar-write/diff-tar.js'
import { exportImage, type ExportOptions } from './images/export.js'
import { importImage, type ImportedImage } from './images/import.js'
import type { ImportOptions } from './images/import-options.js'
import { Layer } from './layers/layer.js'
import type { Lease } from './engine/leases.js'
import { withLayerMounted } from './layers/layer-mount.js'
import {
  checkKey,
  checkLabels,
  checkOpen,
  checkPrepare,
  type OpenStoreOptions,
  type PrepareOptions,
} from './common/options.js'
import { prepare } from './layers/prepare.js'
import { layerUsage } from './layers/space.js'
import { recover } from './recovery/recover.js'
import { infoOf, type Row } from './records/row.js'
import { hasChildren, readyRow, stateError, visible } from './records/rows.js'
import { stagingFolder } from './common/staging.js'
import { closeStore } from './open/close-store.js'
import { openStore } from './open/open-store.js'
import { step } from './common/step-channel.js'
import { archiveChunks } from './tar-read/layer-file.js'
import { WatchedStream } from './tar-read/watched-stream.js'
import { applyTar, type ApplyResult } from './tar-read/apply-tar.js'
import { LayerStoreDevices } from './layer-store-devices.js'
import type {
  ApplyLayerOptions,
  CommitOptions,
  UpdateOptions,
  WalkOptions,
  WithMountedOptions,
} from './call-options.js'
import type { LayerInfo, LayerMount, LayerUsage } from './common/types.js'

/** The number of records that `walk` reads at once. */
const PAGE = 500

/** A store of image layers on a thin pool, in the terms of containerd's snapshotters. */
export class LayerStore extends LayerStoreDevices {
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
    await this.alone([to, from], () => commit(this.store, from, { name: to, labels, signal: options.signal }))
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
      const volume = await this.store.volumes.active(row, options.signal)
      return new Layer(row, volume.path)
    }
    return this.alone([key], () => this.store.leases.using(key, activated, check))
  }

  /**
   * Removes a layer. When the promise resolves, no caller finds the layer any more, even after a loss of power. Its volume
   * is deleted in the background as soon as it is not mounted, and its blocks become free at that time (see `cleanup`).
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_HAS_CHILDREN`, `DM_LAYER_STATE` (the layer is being committed, or a
   * running import needs it).
   */
  async remove(key: string): Promise<void> {
    await this.alone([checkKey('key', key)], async () => {
      const { records, writer, removals, leases } = this.store
      await leases.living(records.byKey(key)?.thin) // deletes the leases of dead owners
      step('remove.intent', key)
      const row = await writer.write(() => {
        const found = readyRow(records, key)
        const child = records.childOf(found.id)
        if (child) throw hasChildren(key, child)
        if (records.leases.of(found.thin).some(({ kind }) => kind === 'keep'))
          throw stateError(found, 'an import needs it')
        return records.abandon(found.id, ['ready'], this.store.owner.id)!
      })
      removals.add(row)
      await this.store.warm.drop(key)
    })
  }

  /** Returns the record of a layer. Reads the records only. Rejects with `DM_LAYER_NOT_FOUND`. */
  async stat(key: string): Promise<LayerInfo> {
    return this.run(async () => infoOf(visible(this.store.records, checkKey('key', key))))
  }

  /**
   * Changes the labels of a layer, sets its `updatedAt`, and returns its new record. Rejects with `DM_LAYER_NOT_FOUND`,
   * `DM_LAYER_STATE` (the layer is being committed).
   */
  async update(key: string, change: UpdateOptions): Promise<LayerInfo> {
    checkOptions(change, ['labels', 'setLabels'], 'update')
    if (change.labels !== undefined) checkLabels(change.labels)
    if (change.setLabels !== undefined) checkLabels(change.setLabels)
    return this.alone([checkKey('key', key)], () =>
      this.store.writer.write(() => {
        const { records } = this.store
        const row = readyRow(records, key)
        const labels = { ...(change.labels ?? row.labels), ...change.setLabels }
        for (const [name, value] of Object.entries(change.setLabels ?? {})) if (value === '') delete labels[name]
        return infoOf(records.update(row.id, ['ready'], { labels, updatedAt: this.store.clock() })!)
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
      const rows = await this.run(async () => this.store.records.page(after, PAGE))
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
    return this.alone([key], () => layerUsage(this.store, key, options.signal))
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
    return this.run(() => withLayerMounted(this.store, key, body, { readOnly, signal: options.signal }))
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
    return this.run(async () => {
      const watched = new WatchedStream(archiveChunks(archive))
      const check = (row: Row) => {
        if (row.kind !== 'active') throw stateError(row, `only an active layer can be written, and it is ${row.kind}`)
      }
      try {
        return await withLayerMounted(this.store, key, folder => applyTar(folder, watched.stream, rest), {
          check,
          inside: true,
        })
      } catch (fault) {
        // The first error is the one that is reported.
        if (!keep && watched.hasGiven) await this.removeUnused(key).catch(() => false)
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
    const work = this.run(async () => {
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
    yield* await this.run(() => this.#withBoth(lower, upper, (one, other) => changes(one, other, options)))
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
    return this.run(() => importImage(this, source, options))
  }

  /**
   * Returns a committed layer and all its ancestors as an archive that `docker load`, `ctr images import` and OCI tools
   * read. Destroy the stream to cancel it. The stream fails with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (the layer is not
   * committed), and the codes of `diffLayer`.
   */
  exportImage(top: string, options: ExportOptions = {}): Readable {
    checkKey('top', top)
    return exportImage(this, top, options)
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
    return this.alone([name], () => addCommitted(this.store, parent, { name, labels, signal }, fill))
  }

  /**
   * @internal Takes a lease that prevents the removal of a committed layer. Rejects with `DM_LAYER_NOT_FOUND`,
   * `DM_LAYER_STATE`.
   */
  async keepLayer(key: string): Promise<Lease> {
    const check = (row: Row) => {
      if (row.kind !== 'committed') throw stateError(row, `a committed layer is needed, and it is ${row.kind}`)
    }
    return this.run(() => this.store.leases.take(key, 'keep', check))
  }

  /** @internal */
  stagingFolder(): string {
    return stagingFolder(this.directory, this.store.owner.id)
  }

  protected async removeUnused(key: string): Promise<boolean> {
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
    return this.alone([key], async () => {
      throwIfAborted(options.signal)
      const { sizeBytes, fileSystem, raw } = options
      const plain = kind === 'active' && sizeBytes === undefined && fileSystem === undefined && raw === undefined
      const warm = plain ? await this.store.warm.take(key, parent, options.labels ?? {}) : undefined
      const { row, path } = warm ?? (await prepare(this.store, { kind, key, parent, options }))
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
      this.store,
      upper,
      async folder =>
        lower === ''
          ? body(undefined, folder)
          : withLayerMounted(this.store, lower, below => body(below, folder), inside),
      inside,
    )
  }
}
