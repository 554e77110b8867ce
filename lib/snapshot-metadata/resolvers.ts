// Resolvers: they find the volume of a snapshot by the id of a request.
import { access } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError } from '../base/errors.js'
import { checkOptions, checkPath, invalid, signalOption, type SignalOption } from '../base/options.js'
import { MAX_THIN_ID } from '../base/units.js'
import { thinDevices } from '../pool/metadata-read/live-volumes.js'
import { ThinPool } from '../pool/thin-pool.js'
import { ThinVolume } from '../pool/volume/thin-volume.js'
import { LayerStore } from '../store/layer-store.js'

/** A snapshot that a resolver has found. Nobody must write its volume. */
export interface ServedSnapshot {
  /** The running pool of the volume, or the path of its metadata at rest. */
  readonly pool: ThinPool | string
  /** The thin id of the volume. */
  readonly id: number
  /** The size of the volume in bytes. */
  readonly sizeBytes: number
}

/** The object that finds snapshots by the ids of requests. `poolSnapshots` and `storeSnapshots` return one. */
export interface SnapshotResolver {
  /** Returns the snapshot with this id. Rejects with `DM_VOLUME_NOT_FOUND` or `DM_LAYER_NOT_FOUND` if there is none. */
  snapshot(id: string, options: SignalOption): Promise<ServedSnapshot>
  /**
   * Returns the path of the bookmark of a snapshot that was deleted; undefined if there is none, which is also the default.
   * Called if `snapshot` rejects for the base of a delta. Rejects with errors of the file system.
   */
  bookmark?(id: string, options: SignalOption): Promise<string | undefined>
}

/** Options of `poolSnapshots` and `storeSnapshots`. */
export interface SnapshotsOptions {
  /**
   * The directory with bookmarks of deleted snapshots, for the base of a delta. The bookmark of the snapshot `ID` is the file
   * `ID.bookmark`, with `ID` as `encodeURIComponent` returns it. Default: no bookmarks.
   */
  readonly bookmarks?: string
}

/** A thin id, alone or with the snapshot clock at the creation of the volume. */
const ID = /^(\d{1,8})(?:@(\d{1,8}))?$/

/**
 * Returns a resolver for the volumes of a pool. The id of a request is that of `snapshotId`, a thin id, or the name of a
 * volume. A pool without a `record` has the sizes of active volumes only: an inactive volume is rejected with
 * `DM_SIZE_UNKNOWN`. A volume with an external origin is rejected with `DM_UNSUPPORTED`, because its metadata does not show
 * what it reads.
 *
 * Throws `DM_INVALID_ARGUMENT`.
 */
export function poolSnapshots(pool: ThinPool, options: SnapshotsOptions = {}): SnapshotResolver {
  if (!(pool instanceof ThinPool)) throw invalid('poolSnapshots: the first argument must be a ThinPool')
  return {
    snapshot: async (id, { signal }) => served(pool, await findVolume(pool, id, signalOption(signal)), id),
    ...bookmarksOf(options, 'poolSnapshots'),
  }
}

/**
 * Returns a resolver for the committed layers of a store. The id of a request is the key of a layer. An active layer or a
 * view is rejected with `DM_LAYER_STATE`.
 *
 * Throws `DM_INVALID_ARGUMENT`.
 */
export function storeSnapshots(store: LayerStore, options: SnapshotsOptions = {}): SnapshotResolver {
  if (!(store instanceof LayerStore)) throw invalid('storeSnapshots: the first argument must be a LayerStore')
  return {
    snapshot: id => store.committedVolume(id),
    ...bookmarksOf(options, 'storeSnapshots'),
  }
}

/**
 * Returns the id of a snapshot for requests: its thin id, and the pool's snapshot clock when it was created. Both together
 * are of no other snapshot of the pool, also if the snapshot is deleted and its thin id used again.
 *
 * Rejects with `DM_VOLUME_NOT_FOUND`, `DM_NOT_FOUND`, `DM_POOL_FAILED`, `DM_METADATA_BUSY`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
 */
export async function snapshotId(pool: ThinPool, volume: ThinVolume, options: SignalOption = {}): Promise<string> {
  checkOptions(options, ['signal'], 'snapshotId')
  if (!(pool instanceof ThinPool) || !(volume instanceof ThinVolume) || !volume.belongsTo(pool.context)) {
    throw invalid('snapshotId: the arguments must be a ThinPool and a volume of it')
  }
  const clock = await clockOf(pool, volume.id, options)
  if (clock === undefined) throw missing(String(volume.id))
  return `${volume.id}@${clock}`
}

/** Checks the options of a resolver, and returns its search for bookmarks of deleted snapshots. */
function bookmarksOf(options: SnapshotsOptions, call: string): Required<Pick<SnapshotResolver, 'bookmark'>> {
  checkOptions(options, ['bookmarks'], call)
  const directory = options.bookmarks === undefined ? undefined : checkPath('bookmarks', options.bookmarks)
  return {
    async bookmark(id) {
      if (directory === undefined) return undefined
      // Encoded, an id cannot name a file of another directory.
      const file = path.join(directory, `${encodeURIComponent(id)}.bookmark`)
      try {
        await access(file)
        return file
      } catch (fault) {
        const { code } = fault as NodeJS.ErrnoException
        if (code === 'ENOENT' || code === 'ENAMETOOLONG') return undefined
        throw fault
      }
    },
  }
}

async function findVolume(pool: ThinPool, text: string, options: SignalOption): Promise<ThinVolume> {
  const [, id, clock] = ID.exec(text) ?? []
  if (id === undefined) {
    const named = (await pool.volumes(options)).find(({ name }) => name === text)
    if (!named) throw missing(text)
    return named
  }
  if (Number(id) > MAX_THIN_ID) throw missing(text)
  if (clock !== undefined && (await clockOf(pool, Number(id), options)) !== Number(clock)) throw missing(text)
  return pool.volume(Number(id), options)
}

/** Returns the snapshot clock at the creation of a volume; undefined if the pool does not have it. */
async function clockOf(pool: ThinPool, id: number, { signal }: SignalOption): Promise<number | undefined> {
  const devices = await pool.context.pending.run(() => thinDevices(pool.context, signal))
  return devices.find(each => each.id === id)?.creationTime
}

function served(pool: ThinPool, { id, sizeBytes, externalOrigin }: ThinVolume, text: string): ServedSnapshot {
  if (externalOrigin !== undefined) {
    throw new DmThinError('DM_UNSUPPORTED', `snapshot ${text} has the external origin ${externalOrigin}`)
  }
  if (sizeBytes !== undefined) return { pool, id, sizeBytes }
  throw new DmThinError('DM_SIZE_UNKNOWN', `snapshot ${text} is inactive, and its size is not in a record of the pool`)
}

const missing = (id: string): DmThinError =>
  new DmThinError('DM_VOLUME_NOT_FOUND', `there is no snapshot ${JSON.stringify(id)}`)
