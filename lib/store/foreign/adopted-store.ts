// The layers of another program's store on a thin pool: who made them, what they are, which blocks they have, and what
// is in them. Nothing of it is changed.
import { signalOption, checkOptions, checkPath, type SignalOption } from '../../base/options.js'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { Pending } from '../../base/pending.js'
import { DmThinError } from '../../base/errors.js'
import { detectFileSystem } from '../../filesystem/detect.js'
import { ThinPool } from '../../pool/thin-pool.js'
import type { OpenPoolOptions } from '../../pool/lifecycle/options.js'
import { leftMounts, mountedAt, sweepMount, type MountPlace } from '../engine/temporary-mounts.js'
import { checkKey } from '../common/options.js'
import { Owner } from '../records/owner.js'
import type { LayerFileSystem } from '../common/types.js'
import { CONTAINERD_RECORDS, containerdRecords } from './containerd.js'
import { Devices } from './devices.js'
import { DOCKER_RECORDS, dockerRecords } from './docker.js'
import type { AdoptedKind, ForeignRecord, ForeignRecords } from './foreign-record.js'

/** Options of `AdoptedStore.open`. */
export interface AdoptOptions extends SignalOption {
  /**
   * Where the other program keeps its records. Of containerd: `/var/lib/containerd/io.containerd.snapshotter.v1.devmapper`
   * or its `root_path`. Of Docker before version 25: `/var/lib/docker/devicemapper`.
   */
  readonly directory: string
  /**
   * The pool: its name, or what `ThinPool.open` needs to bring it back. Default: the name that the records say, of a
   * pool that is up.
   */
  readonly pool?: string | OpenPoolOptions
}

/** A layer in the records of another program. */
export interface AdoptedLayer {
  /** containerd's key or name; Docker's chain id, container id, or the name of its volume where it knows no other. */
  readonly key: string
  /** The key of the layer below; `''` for a layer without a recorded parent. */
  readonly parent: string
  readonly kind: AdoptedKind
  /** The thin id in the pool. */
  readonly thin: number
  /** Size of the volume in bytes. */
  readonly sizeBytes: number
  /** `unfinished`: its program was making or removing it. `missing`: the pool has no such volume. */
  readonly state: 'whole' | 'unfinished' | 'missing'
  /** Blocks that only this layer has, in bytes. 0 where it is missing. */
  readonly exclusiveBytes: number
  /** Blocks that another volume of the pool has too, in bytes. */
  readonly sharedBytes: number
}

/** The layers that the records of another program name, and the volumes that they do not name. */
export interface AdoptedContents {
  readonly layers: readonly AdoptedLayer[]
  /** Thin ids of volumes that no record names. */
  readonly unrecorded: readonly number[]
}

/** Neither replays a journal: the device takes no writes. */
const MOUNT_OPTIONS: Readonly<Record<LayerFileSystem, readonly string[]>> = {
  ext4: ['noload', 'ro'],
  xfs: ['norecovery', 'nouuid', 'ro'],
}
/** Where layers are mounted for `withMounted`. What a dead process left there goes at the next `open`. */
const PLACE = '/run/dm-thin/adopted'

/** The layers of containerd or Docker on a thin pool, for reading. */
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
   * Finds the records and the pool. What runs on the pool is left alone, and nothing of it is repaired.
   *
   * Rejects with `DM_FILE_MISSING` (no records that are known), `DM_NOT_FOUND` (no such pool is up; records of several),
   * `DM_STORE_DATABASE`, `DM_STORE_DEPENDENCY` (this Node has no SQLite, and better-sqlite3 is not installed), and whatever `ThinPool.open` rejects with.
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
      // Last: a pool that this brings back is not taken down again.
      return new AdoptedStore(await ThinPool.open({ repair: false, ...wanted, ...abort }), records, place)
    } catch (fault) {
      owner.end()
      throw fault
    }
  }

  /** Whose records they are. */
  get program(): 'containerd' | 'docker' {
    return this.#records.program
  }

  /** Name of the pool's mapped device. */
  get poolName(): string {
    return this.#pool.name
  }

  /**
   * All layers that are recorded, with what they have in the pool's metadata as of its last commit. Their program may be
   * running. Rejects with `DM_STORE_DATABASE`, `DM_METADATA_BUSY`, `DM_METADATA_CORRUPT`, `ABORT_ERR`.
   */
  async contents(options: SignalOption = {}): Promise<AdoptedContents> {
    checkOptions(options, ['signal'], 'contents')
    return this.#pending.run(async () => {
      // Its program may be making and removing some meanwhile: what counts is recorded before and after.
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
   * Mounts a layer read-only for as long as `body` runs: a base, a committed layer. Its device is made for that where it
   * has none, and its program cannot delete it meanwhile. The file system is another program's: as much to be trusted as
   * whoever wrote it.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_STATE` (written to by others, or not whole), `DM_UNSUPPORTED` (neither
   * ext4 nor xfs), `DM_BUSY`, `ABORT_ERR`, and with what `body` rejects with.
   */
  async withMounted<T>(key: string, body: (folder: string) => Promise<T>, options: SignalOption = {}): Promise<T> {
    checkOptions(options, ['signal'], 'withMounted')
    checkKey('key', key)
    return this.#pending.run(async () => {
      const found = (await this.#read(options.signal)).find(record => record.key === key)
      if (!found)
        throw new DmThinError('DM_LAYER_NOT_FOUND', `there is no layer ${JSON.stringify(key)}`, { device: key })
      if (found.kind !== 'committed' && found.kind !== 'base')
        throw unfit(key, `it is ${found.kind}: others write to it`)
      if (!found.isWhole) throw unfit(key, 'it is being made or removed, or was given up')
      return this.#devices.with(found, device => this.#mounted(device, body, options.signal), options.signal)
    })
  }

  /** Waits for the calls under way. The pool and its devices stay as they are. */
  async close(): Promise<void> {
    await this.#pending.close(async () => {
      this.#place.owner.end()
      await this.#pool.close()
    })
  }

  /** Calls `close()`: for `await using`. */
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
      const text = `${device} has ${type ?? 'no file system that is known'}, and not ext4 or xfs`
      throw new DmThinError('DM_UNSUPPORTED', text, { device })
    }
    return mountedAt(this.#place, { type, source: device, options: MOUNT_OPTIONS[type] }, body, signal)
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
