// The store of another program on a thin pool, for reading: its layers, their blocks and their content. Nothing is changed.
import { signalOption, checkOptions, checkPath, type SignalOption } from '../../base/options.js'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { Pending } from '../../base/pending.js'
import { DmThinError } from '../../base/errors.js'
import { detectFileSystem } from '../../filesystem/detect.js'
import { ThinPool } from '../../pool/thin-pool.js'
import type { OpenPoolOptions } from '../../pool/lifecycle/pool-options.js'
import { leftMounts, withTemporaryMount, sweepMount, type MountPlace } from '../engine/temporary-mounts.js'
import { checkKey } from '../common/store-options.js'
import { Owner } from '../records/owner.js'
import type { LayerFileSystem } from '../common/layer-types.js'
import { CONTAINERD_RECORDS, containerdRecords } from './containerd.js'
import { Devices } from './devices.js'
import { DOCKER_RECORDS, dockerRecords } from './docker.js'
import type { AdoptedKind, ForeignRecord, ForeignRecords } from './foreign-record.js'

/** Options of `AdoptedStore.open`. */
export interface AdoptOptions extends SignalOption {
  /**
   * The directory of the other program's records. For containerd:
   * `/var/lib/containerd/io.containerd.snapshotter.v1.devmapper`, or its `root_path`. For Docker before version 25:
   * `/var/lib/docker/devicemapper`.
   */
  readonly directory: string
  /**
   * The name of a running pool, or the options with which `ThinPool.open` starts the pool. Default: the running pool that
   * the records name.
   */
  readonly pool?: string | OpenPoolOptions
}

/** A layer in the records of another program. */
export interface AdoptedLayer {
  /** The key or name in containerd; the chain id or container id in Docker, or the name of the volume if it has neither. */
  readonly key: string
  /** The key of the parent; `''` for a layer without a recorded parent. */
  readonly parent: string
  /** The kind of the layer, according to the records. */
  readonly kind: AdoptedKind
  /** The thin id in the pool. */
  readonly thin: number
  /** The size of the volume in bytes, according to the records. */
  readonly sizeBytes: number
  /**
   * `whole`: the layer is complete. `unfinished`: its program was creating or removing it. `missing`: the pool has no such
   * volume.
   */
  readonly state: 'whole' | 'unfinished' | 'missing'
  /** The exclusive blocks of the layer, in bytes; 0 if it is missing. */
  readonly exclusiveBytes: number
  /** The blocks that the layer shares with other volumes of the pool, in bytes. */
  readonly sharedBytes: number
}

/** The layers in the records of another program, and the volumes without a record. */
export interface AdoptedContents {
  /** The recorded layers, in the order of the records. */
  readonly layers: readonly AdoptedLayer[]
  /** The thin ids of volumes without a record. */
  readonly unrecorded: readonly number[]
}

/** The mount options. They prevent the replay of a journal, because the device is read-only. */
const MOUNT_OPTIONS: Readonly<Record<LayerFileSystem, readonly string[]>> = {
  ext4: ['noload', 'ro'],
  xfs: ['norecovery', 'nouuid', 'ro'],
}
/** The folder for mounts of `withMounted`. The next `open` removes what a dead process left there. */
const PLACE = '/run/dm-thin/adopted'

/** The store of containerd or Docker on a thin pool, for reading. */
export class AdoptedStore {
  readonly #pool: ThinPool
  readonly #records: ForeignRecords
  readonly #place: MountPlace
  readonly #pending: Pending
  readonly #devices: Devices

  private constructor(pool: ThinPool, records: ForeignRecords, place: MountPlace) {
    this.#pool = pool
    this.#records = records
    this.#place = place
    this.#devices = new Devices(pool)
    this.#pending = new Pending(`the adopted store on pool ${pool.name}`)
  }

  /**
   * Opens the records and the pool. Volumes in use are not affected, and nothing is repaired.
   *
   * Rejects with `DM_FILE_MISSING` (the directory has no known records), `DM_NOT_FOUND` (no such pool is running, or the
   * directory has records of several pools), `DM_STORE_DATABASE`, `DM_DEPENDENCY` (this Node has no SQLite, and
   * better-sqlite3 is not installed), and the codes of `ThinPool.open`.
   */
  static async open(options: AdoptOptions): Promise<AdoptedStore> {
    checkOptions(options, ['directory', 'pool', 'signal'], 'AdoptedStore.open')
    const directory = path.resolve(checkPath('directory', options.directory))
    const { pool: given, signal } = options
    const records = await recordsIn(directory, typeof given === 'object' ? given.name : given)
    const abort = signalOption(signal)
    const wanted = typeof given === 'object' ? given : { name: records.poolName }
    const owner = await Owner.begin(path.join(PLACE, 'owners'))
    try {
      const place = { directory: PLACE, owner }
      for (const folder of await leftMounts(place)) await sweepMount(folder)
      await owner.sweep()
      // The pool is opened last, because it would not be removed after a later failure if this call starts it.
      return new AdoptedStore(await ThinPool.open({ repair: false, ...wanted, ...abort }), records, place)
    } catch (fault) {
      owner.end()
      throw fault
    }
  }

  /** The program that owns the records: `containerd` or `docker`. */
  get program(): 'containerd' | 'docker' {
    return this.#records.program
  }

  /** The name of the pool's mapped device. */
  get poolName(): string {
    return this.#pool.name
  }

  /**
   * Returns all recorded layers, with their blocks in the pool's metadata as of its last commit. The other program may be
   * running. Rejects with `DM_STORE_DATABASE`, `DM_METADATA_BUSY`, `DM_METADATA_CORRUPT`, `ABORT_ERR`.
   */
  async contents(options: SignalOption = {}): Promise<AdoptedContents> {
    checkOptions(options, ['signal'], 'contents')
    return this.#pending.run(async () => {
      // The other program may create and remove layers concurrently. Only layers that are recorded before and after count.
      const before = thinsOf(await this.#read(options.signal))
      const usage = new Map((await this.#pool.usage(options)).map(each => [each.id, each]))
      const records = await this.#read(options.signal)
      const bytes = (blocks = 0) => blocks * this.#pool.dataBlockBytes
      const layers = records
        .filter(({ thin }) => before.has(thin))
        .map(({ isWhole, ...record }): AdoptedLayer => {
          const found = usage.get(record.thin)
          const state = !isWhole ? 'unfinished' : found ? 'whole' : 'missing'
          const space = { exclusiveBytes: bytes(found?.exclusiveBlocks), sharedBytes: bytes(found?.sharedBlocks) }
          return { ...record, state, ...space }
        })
      const after = thinsOf(records)
      return { layers, unrecorded: [...usage.keys()].filter(thin => !before.has(thin) && !after.has(thin)) }
    })
  }

  /**
   * Mounts a layer read-only while `body` runs, and returns the result of `body`. The layer must be a base volume or a
   * committed layer. Its volume is activated if it is inactive, and the other program cannot delete it during the call. The
   * kernel mounts the file system as it is: mount only layers whose author you trust.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (the layer is written by others, or is not whole), `DM_UNSUPPORTED`
   * (neither ext4 nor xfs), `DM_BUSY`, `ABORT_ERR`, and the error of `body`.
   */
  async withMounted<T>(key: string, body: (folder: string) => Promise<T>, options: SignalOption = {}): Promise<T> {
    checkOptions(options, ['signal'], 'withMounted')
    checkKey('key', key)
    return this.#pending.run(async () => {
      const found = (await this.#read(options.signal)).find(record => record.key === key)
      if (!found)
        throw new DmThinError('DM_LAYER_NOT_FOUND', `there is no layer ${JSON.stringify(key)}`, { device: key })
      if (found.kind !== 'committed' && found.kind !== 'base')
        throw unfit(key, `only committed layers and base volumes can be mounted, and it is ${found.kind}`)
      if (!found.isWhole) throw unfit(key, 'it is being created or removed, or is unfinished')
      return this.#devices.with(found, device => this.#mounted(device, body, options.signal), options.signal)
    })
  }

  /** Waits for the calls in progress and rejects new ones. The pool and its devices stay. */
  async close(): Promise<void> {
    await this.#pending.close(async () => {
      this.#place.owner.end()
      await this.#pool.close()
    })
  }

  /** Calls `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #read(signal?: AbortSignal): Promise<ForeignRecord[]> {
    const { transactionId = 0n } = await this.#pool.status(signalOption(signal))
    return this.#records.read(transactionId)
  }

  async #mounted<T>(device: string, body: (folder: string) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const type = (await detectFileSystem(device, signalOption(signal)))?.type
    if (type !== 'ext4' && type !== 'xfs') {
      const text = `${device} has ${type ?? 'no known file system'}, and not ext4 or xfs`
      throw new DmThinError('DM_UNSUPPORTED', text, { device })
    }
    return withTemporaryMount(this.#place, { type, source: device, options: MOUNT_OPTIONS[type] }, body, signal)
  }
}

function recordsIn(directory: string, pool: string | undefined): Promise<ForeignRecords> {
  if (existsSync(path.join(directory, CONTAINERD_RECORDS))) return containerdRecords(directory, pool)
  if (existsSync(path.join(directory, DOCKER_RECORDS, 'base'))) return dockerRecords(directory, pool)
  const looked = `${CONTAINERD_RECORDS} (containerd) or ${DOCKER_RECORDS}/base (Docker)`
  throw new DmThinError('DM_FILE_MISSING', `${directory} has no ${looked}`, { device: directory })
}

const thinsOf = (records: readonly ForeignRecord[]): Set<number> => new Set(records.map(({ thin }) => thin))

const unfit = (key: string, why: string): DmThinError =>
  new DmThinError('DM_LAYER_STATE', `layer ${JSON.stringify(key)}: ${why}`, { device: key })
