// The resolver for the snapshots of a pool.
import { DmThinError } from '../base/errors.js'
import { checkOptions, checkPath, invalid, signalOption, type SignalOption } from '../base/options.js'
import { MAX_THIN_ID } from '../base/units.js'
import { thinDevices } from '../pool/state/live-metadata.js'
import { ThinPool } from '../pool/thin-pool.js'
import { ThinVolume } from '../pool/volume/thin-volume.js'
import { bookmarkIn } from './bookmarks.js'
import type { ServedSnapshot, SnapshotResolver } from './resolver.js'

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
  const bookmarks = checkSnapshots(options, 'poolSnapshots')
  return {
    snapshot: async (id, { signal }) => served(pool, await findVolume(pool, id, signalOption(signal)), id),
    bookmark: async id => bookmarkIn(bookmarks, id),
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

/** Checks the options of a resolver, and returns the directory of bookmarks. */
export function checkSnapshots(options: SnapshotsOptions, call: string): string | undefined {
  checkOptions(options, ['bookmarks'], call)
  return options.bookmarks === undefined ? undefined : checkPath('bookmarks', options.bookmarks)
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
