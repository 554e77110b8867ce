// Image layers on a thin pool: what users of `dm-thin/store` meet first.
import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { hasCode, throwIfAborted } from '../base/errors.js'
import { checkBoolean, checkOptions, type SignalOption, invalid } from '../base/options.js'
import { addCommitted, commit } from './layers/commit.js'
import { changes, type Change, type ChangesOptions } from './compare/changes.js'
import { diffTar, type DiffTarOptions } from './tar-write/diff-tar.js'
import { exportImage, type ExportOptions } from './images/export.js'
import { importImage, type ImportedImage, type ImportOptions } from './images/import.js'
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
import { recover } from './recovery/recover.js'
import { infoOf, type Row } from './records/row.js'
import { hasChildren, readyRow, stateError, visible } from './records/rows.js'
import { stagingFolder } from './common/staging.js'
import { closeStore } from './open/close-store.js'
import { openStore } from './open/open-store.js'
import { step } from './common/step-channel.js'
import { WatchedStream } from './tar-read/watched-stream.js'
import { applyTar, type ApplyOptions, type ApplyResult } from './tar-read/apply-tar.js'
import { LayerStoreBase } from './layer-store-base.js'
import type { Labels, LayerInfo, LayerMount, LayerUsage } from './common/types.js'

/** Options of `LayerStore.commit`. */
export interface CommitOptions extends SignalOption {
  /** Of the committed layer; those of the active one do not stay. Default none. */
  readonly labels?: Labels
}

/** Options of `LayerStore.update`. */
export interface UpdateOptions {
  /** In place of all labels. */
  readonly labels?: Labels
  /** These alone; one with an empty value is taken away. */
  readonly setLabels?: Labels
}

/** Options of `LayerStore.withMounted`. */
export interface WithMountedOptions extends SignalOption {
  /** No writes. Of committed layers and views always. Default false. */
  readonly readOnly?: boolean
}

/** Options of `LayerStore.applyLayer`. */
export interface ApplyLayerOptions extends Omit<ApplyOptions, 'kernel'> {
  /** After a failure the layer stays, with whatever is in it. Default false. */
  readonly keepFailed?: boolean
}

/** Options of `LayerStore.walk`. */
export interface WalkOptions {
  /** Which layers. Default all. */
  readonly filter?: (info: LayerInfo) => boolean
}

/** How many records are read at once while walking. */
const PAGE = 500

/** A store of image layers on a thin pool, in the terms of containerd's snapshotters. */
export class LayerStore extends LayerStoreBase {
  /**
   * Opens the store in a directory, and makes what is missing: the records, and the pool. Several processes may have it
   * open. Ends what a process that died left half done (see `findings`).
   *
   * Rejects with `DM_STORE_DEPENDENCY` (this Node has no SQLite, and better-sqlite3 is not installed), `DM_STORE_MISMATCH` (another pool or disk than
   * the recorded one; records of layers, and no pool; a pool that is not empty, and no records), `DM_STORE_DATABASE`, and whatever `ThinPool.open` and
   * `ThinPool.create` reject with.
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
   * A writable layer on top of a committed one, or of an empty file system (`parent` `''`): a snapshot, active. Its
   * device is there and on the pool's disk when this resolves.
   *
   * Rejects with `DM_LAYER_EXISTS`, `DM_LAYER_NOT_FOUND` (the parent), `DM_INVALID_ARGUMENT` (the parent is not
   * committed; the size), `DM_POOL_FULL`, `DM_POOL_READ_ONLY`, `DM_POOL_WORN` (the pool makes no snapshots any more:
   * `status().pool.snapshots` says how many are left), `DM_STORE_DEPENDENCY` (mkfs, for the first layer of a size),
   * `ABORT_ERR`. Nothing of it is left then.
   */
  async prepare(key: string, parent = '', options: PrepareOptions = {}): Promise<Layer> {
    return this.#make('active', key, parent, checkPrepare(options, 'prepare'))
  }

  /** A read-only look at a committed layer. Cannot be committed. Rejects as `prepare` does. */
  async view(key: string, parent = '', options: PrepareOptions = {}): Promise<Layer> {
    return this.#make('view', key, parent, checkPrepare(options, 'view'))
  }

  /**
   * Makes an active layer a committed one with another name, on which others can stand. It is to be unmounted before;
   * one that somebody still has mounted is frozen for a moment, and the layer is what it was then.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_EXISTS` (the name), `DM_LAYER_STATE` (not active), `DM_LAYER_DAMAGED` (its
   * file system has errors), `DM_POOL_FULL`, `DM_POOL_READ_ONLY`, `DM_POOL_FAILED` (the pool does not take all writes), `DM_POOL_WORN`
   * (somebody has it mounted, and the pool makes no snapshots any more). It stays active then.
   */
  async commit(name: string, key: string, options: CommitOptions = {}): Promise<void> {
    checkOptions(options, ['labels', 'signal'], 'commit')
    const [to, from] = [checkKey('name', name), checkKey('key', key)]
    const labels = checkLabels(options.labels ?? {})
    await this.alone([to, from], () => commit(this.store, from, { name: to, labels, signal: options.signal }))
  }

  /**
   * What mount(2) needs for an active layer or a view; brings its device back where it is gone, as after a restart of
   * the machine. Empty for a raw layer: see `layer`. Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (committed).
   */
  async mounts(key: string, options: SignalOption = {}): Promise<LayerMount[]> {
    return [...(await this.layer(key, options)).mounts]
  }

  /** An active layer or a view that there is. Rejects as `mounts` does. */
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
   * Removes a layer. When this resolves it is gone for all callers, also after a loss of power; its volume goes in the
   * background, as soon as nobody has it mounted, and its blocks are free then (see `cleanup`).
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_HAS_CHILDREN`, `DM_LAYER_STATE` (it is being committed, or a running
   * import needs it).
   */
  async remove(key: string): Promise<void> {
    await this.alone([checkKey('key', key)], async () => {
      const { records, writer, removals, leases } = this.store
      await leases.living(records.byKey(key)?.thin) // those of dead owners are deleted
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

  /** What is recorded of a layer. Answers from the records alone. `DM_LAYER_NOT_FOUND`. */
  async stat(key: string): Promise<LayerInfo> {
    return this.run(async () => infoOf(visible(this.store.records, checkKey('key', key))))
  }

  /** Changes a layer's labels, and with them its `updatedAt`. `DM_LAYER_NOT_FOUND`. */
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

  /** All layers, by the bytes of their keys. What changes meanwhile may be in it or not. */
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
   * What a layer has that its parent had not, in bytes of whole blocks: mapped blocks less those of the parent. The
   * number of its files is not known to a block device, and 0. `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (it is being
   * committed).
   */
  async usage(key: string, options: SignalOption = {}): Promise<LayerUsage> {
    checkOptions(options, ['signal'], 'usage')
    return this.alone([checkKey('key', key)], async () => {
      const row = visible(this.store.records, key)
      const parent = row.parentId === null ? undefined : this.store.records.byId(row.parentId)
      const mapped = row.mappedBytes ?? (await this.#mappedBytes(key, options.signal))
      return { bytes: Math.max(0, mapped - (parent?.mappedBytes ?? 0)), inodes: 0 }
    })
  }

  /**
   * Mounts a layer at a folder of the store's own for as long as `body` runs, and gives what that gives. Of a committed
   * layer a passing view is mounted, or the layer itself if the pool makes no snapshots any more. The folder is not seen in other
   * mount namespaces that are private. Resolves when all that was written is on the pool.
   *
   * Rejects with what `body` rejects with; with `DM_LAYER_SPACE` or `DM_LAYER_DAMAGED` where not all that was written came
   * to the pool; with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE`, and what `mount()` and `prepare` reject with.
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
   * Unpacks a layer of an image (tar, plain or by gzip or zstd) into an active layer, by file descriptors, so that nothing
   * is written outside of it. The stream is untrusted input. Resolves when all is on the disk.
   *
   * Rejects with `DM_LAYER_TAR`, `DM_LAYER_LIMIT`, `DM_LAYER_DIGEST`, `DM_LAYER_SPACE`, `DM_STORE_DEPENDENCY` (tar-stream),
   * `DM_UNSUPPORTED`, `DM_LAYER_STATE`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`, and what the stream itself fails with. Where the
   * stream has given anything by then the layer is removed: half of one is none. Before, it stays as it was.
   */
  async applyLayer(
    key: string,
    stream: AsyncIterable<Uint8Array>,
    options: ApplyLayerOptions = {},
  ): Promise<ApplyResult> {
    const { keepFailed, ...rest } = options
    const keep = checkBoolean('keepFailed', keepFailed)
    checkKey('key', key)
    return this.run(async () => {
      const watched = new WatchedStream(stream)
      const check = (row: Row) => {
        if (row.kind !== 'active') throw stateError(row, `only an active layer is written to, and it is ${row.kind}`)
      }
      try {
        return await withLayerMounted(this.store, key, folder => applyTar(folder, watched.stream, rest), {
          check,
          inside: true,
        })
      } catch (fault) {
        // The first fault is the one that is told.
        if (!keep && watched.hasGiven) await this.removeUnused(key).catch(() => false)
        throw fault
      }
    })
  }

  /**
   * What a layer makes of its parent, as the tar of an OCI layer, or all of it where it has none: the same bytes for the
   * same files. Work begins at once; destroy the stream to give it up. It ends with what `diffTar` of the guide says:
   * `DM_LAYER_CHANGED` where somebody writes to the layer meanwhile, `DM_LAYER_NOT_FOUND` …
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

  /** What is other in `upper` than in `lower` (`''`: than in nothing), by path: Docker's A, C and D. */
  async *changes(lower: string, upper: string, options: ChangesOptions = {}): AsyncGenerator<Change> {
    if (lower !== '') checkKey('lower', lower)
    checkKey('upper', upper)
    yield* await this.run(() => this.#withBoth(lower, upper, (one, other) => changes(one, other, options)))
  }

  /**
   * Unpacks an image, each of its layers as a committed layer under its chain id (and what of `devices` and `setuid` is not
   * the default); those that are there already are not made again. `source`: the directory of an OCI layout, an archive of one or of `docker save`
   * (plain or by gzip or zstd), by its path or as a stream. Each document and layer is held to its digest.
   *
   * Rejects with `DM_IMAGE`, `DM_LAYER_DIGEST`, and what `applyLayer` rejects with. Layers that were complete stay.
   */
  async importImage(source: string | AsyncIterable<Uint8Array>, options: ImportOptions = {}): Promise<ImportedImage> {
    return this.run(() => importImage(this, source, options))
  }

  /**
   * A committed layer and all below it as an archive that `docker load`, `ctr images import` and the tools of OCI read.
   * Ends with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (not committed), and what `diffLayer` ends with.
   */
  exportImage(top: string, options: ExportOptions = {}): Readable {
    checkKey('top', top)
    return exportImage(this, top, options)
  }

  /**
   * @internal A committed layer, filled in one call; nothing of it is to be seen before it is whole. The lease keeps it from
   * being removed.
   */
  async addLayer(
    name: string,
    parent: string,
    fill: (folder: string) => Promise<unknown>,
    { labels = {}, signal }: CommitOptions,
  ): Promise<Lease> {
    return this.alone([name], () => addCommitted(this.store, parent, { name, labels, signal }, fill))
  }

  /** @internal A lease that keeps a committed layer from being removed. `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE`. */
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

  /** Both mounted for as long as `body` runs; `lower` `''`: none. */
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

  async #mappedBytes(key: string, signal?: AbortSignal): Promise<number> {
    const { volumes, leases } = this.store
    return leases.using(key, async row => volumes.mappedBytes(await volumes.active(row, signal), signal))
  }
}
