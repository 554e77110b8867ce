// The thin volumes of the rows. Every step can be repeated, because another process may finish the work on a row.
import { signalOption } from '../../base/options.js'
import { undefinedIf, DmThinError, hasCode, throwIfAborted } from '../../base/errors.js'
import { BlockDevice } from '../../block/block-device.js'
import { unwrittenSnapshots } from '../../metadata/unwritten.js'
import { mappedBlocks, thinIds } from '../../pool/metadata-read/live-volumes.js'
import { readMetadata } from '../../pool/state/live-metadata.js'
import { withThinLock } from '../../pool/state/locks.js'
import type { ThinPool } from '../../pool/thin-pool.js'
import type { ThinVolume } from '../../pool/volume/thin-volume.js'
import type { VolumeResult } from '../../pool/volume/batch.js'
import { Coalescer } from './coalescer.js'
import type { Reserve } from './space-reserve.js'
import type { Row } from '../records/row.js'
import { step } from '../common/step-channel.js'

type Signal = AbortSignal | undefined

/** The timeout of a batch of deactivations: a busy volume does not delay the others, and is retried alone. */
const TOGETHER_MS = 50

interface Snapshot {
  readonly origin: number
  readonly thin: number
}

/** A volume that may have no row yet. */
export type NewVolume = Pick<Row, 'thin' | 'sizeBytes' | 'kind'>

interface ActiveSnapshot extends NewVolume {
  /** The thin id of the origin, to which nobody writes. */
  readonly origin: number
  /**
   * Called when the pool has the volume, with a value that the pool's snapshot clock has reached, if one is known. If the call
   * rejects after that, the volume exists.
   */
  readonly made: (snapshotTime?: number) => void
  readonly signal?: Signal
  /** The space that has to be free. */
  readonly reserve?: Reserve | undefined
}

export class Volumes {
  readonly #pool: ThinPool
  readonly #discards: boolean
  // The kernel waits for each device that is created or removed, and processes messages one after the other.
  readonly #snapshots = new Coalescer<Snapshot, ThinVolume>((each, signal) => this.#snapshotTogether(each, signal), {
    inTurn: true,
  })
  readonly #writable = new Coalescer<ThinVolume, ThinVolume>(
    (each, signal) => this.#activateTogether(each, false, signal),
    {
      inTurn: false,
    },
  )
  readonly #readable = new Coalescer<ThinVolume, ThinVolume>(
    (each, signal) => this.#activateTogether(each, true, signal),
    {
      inTurn: false,
    },
  )
  readonly #actives = new Coalescer<ActiveSnapshot, ThinVolume>(each => this.#snapshotActiveTogether(each), {
    inTurn: false,
  })
  readonly #unused = new Coalescer<ThinVolume, ThinVolume>(each => this.#deactivateTogether(each), { inTurn: false })
  readonly #useless = new Coalescer<ThinVolume, ThinVolume>(each => this.#deleteTogether(each), { inTurn: true })

  /** `discards`: the blocks of a removed volume are discarded on the devices below the pool. */
  constructor(pool: ThinPool, discards: boolean) {
    this.#pool = pool
    this.#discards = discards
  }

  /** Returns the thin ids in the pool's metadata as of its last commit, which includes all completed messages. */
  async ids(): Promise<Set<number>> {
    return new Set(await thinIds(this.#pool.context))
  }

  /** Returns those of the volumes that are snapshots to which nothing was written, as of the pool's last commit. */
  unwritten(ids: readonly number[]): Promise<Set<number>> {
    return readMetadata(this.#pool.context, undefined, source => unwrittenSnapshots(source, ids))
  }

  of(row: NewVolume, signal?: Signal): Promise<ThinVolume> {
    return this.#pool.volume(row.thin, { sizeBytes: row.sizeBytes, known: true, ...signalOption(signal) })
  }

  /** Returns the volume, activated. Another process or program may have activated it. */
  async active(row: Row, signal?: Signal): Promise<ThinVolume> {
    const volume = await this.of(row, signal)
    if (volume.active) return volume
    try {
      return await volume.activate({ readOnly: row.kind === 'view', ...signalOption(signal) })
    } catch (fault) {
      if (!hasCode(fault, 'DM_ALREADY_ACTIVE')) throw fault
      return this.of(row, signal)
    }
  }

  /** Creates an empty volume for a base volume. */
  create(row: Row, signal?: Signal): Promise<ThinVolume> {
    return this.#pool.createVolume({ id: row.thin, sizeBytes: row.sizeBytes, ...signalOption(signal) })
  }

  /** Creates a snapshot of an origin that is not written. The snapshot is inactive until `activate`. */
  async snapshot(origin: Row, row: Row): Promise<ThinVolume> {
    await this.#snapshots.one({ origin: origin.thin, thin: row.thin })
    return this.#unchecked(row.thin, row.sizeBytes)
  }

  /** Creates a snapshot of an origin that is not written, and activates it. Concurrent calls share native calls. */
  async snapshotActive(wanted: ActiveSnapshot): Promise<ThinVolume> {
    const { signal } = wanted
    throwIfAborted(signal)
    const volume = await this.#actives.one(wanted, signal)
    throwIfAborted(signal)
    return volume
  }

  /** Creates a snapshot of any origin. An active origin is suspended, which takes as long as its file system needs to sync. */
  async copy(origin: Row, row: Row, signal?: Signal): Promise<ThinVolume> {
    await (await this.#unchecked(origin.thin)).snapshot({ id: row.thin, ...signalOption(signal) })
    return this.#unchecked(row.thin, row.sizeBytes)
  }

  /** Activates a new volume. Another process that asked for its mounts may have activated it. */
  async activate(row: Row, volume: ThinVolume): Promise<ThinVolume> {
    try {
      return await (row.kind === 'view' ? this.#readable : this.#writable).one(volume)
    } catch (fault) {
      if (!hasCode(fault, 'DM_ALREADY_ACTIVE')) throw fault
      return this.active(row)
    }
  }

  /** Returns the mapped blocks of the volume in bytes, including those that it shares with its origin. */
  async mappedBytes(volume: ThinVolume, signal?: Signal): Promise<number> {
    const status = await volume.status(signalOption(signal))
    if (status.mappedBytes !== undefined) return status.mappedBytes
    throw new DmThinError('DM_POOL_FAILED', `volume ${volume.id} of pool ${this.#pool.name}: state ${status.state}`)
  }

  /**
   * Returns the same for a row, and activates nothing: an inactive volume is looked up in the pool's metadata as of its last
   * commit. Undefined if the pool does not have the volume.
   */
  async mappedBytesOf(row: NewVolume, signal?: Signal): Promise<number | undefined> {
    const volume = await this.of(row, signal)
    const mapped = volume.active
      ? await this.mappedBytes(volume, signal).catch(undefinedIf('DM_NOT_ACTIVE')) // deactivated concurrently
      : undefined
    if (mapped !== undefined) return mapped
    const blocks = await mappedBlocks(this.#pool.context, row.thin, signal)
    return blocks === undefined ? undefined : blocks * this.#pool.dataBlockBytes
  }

  /**
   * Deactivates and deletes the volume of a row. Resolves if it does not exist. `written`: the volume may have blocks to
   * discard.
   */
  async destroy(row: NewVolume, timeoutMs: number, written = true): Promise<void> {
    const volume =
      written && this.#discards
        ? await this.#discarded(row, await this.of(row))
        : await this.#unchecked(row.thin, row.sizeBytes)
    step('remove.deactivate', String(row.thin))
    await this.#unused.one(volume).catch((fault: unknown) => {
      if (!hasCode(fault, 'DM_BUSY')) throw fault
      return volume.deactivate({ timeoutMs })
    })
    step('remove.delete', String(row.thin))
    await this.#useless.one(volume).catch(undefinedIf('DM_VOLUME_NOT_FOUND'))
  }

  #unchecked(thin: number, sizeBytes = 0): Promise<ThinVolume> {
    return this.#pool.volume(thin, { known: 'unchecked', ...(sizeBytes > 0 && { sizeBytes }) })
  }

  async #snapshotTogether(wanted: readonly Snapshot[], signal: Signal): Promise<PromiseSettledResult<ThinVolume>[]> {
    const byOrigin = new Map<number, number[]>()
    for (const { origin, thin } of wanted) byOrigin.set(origin, [...(byOrigin.get(origin) ?? []), thin])
    const outcomes = new Map<number, PromiseSettledResult<ThinVolume>>()
    await Promise.all(
      [...byOrigin].map(async ([origin, thins]) => {
        const from = await this.#unchecked(origin)
        const results = await this.#pool.snapshotMany(from, thins, signalOption(signal)).then(settled, failed(thins))
        thins.forEach((thin, at) => outcomes.set(thin, results[at]!))
      }),
    )
    return wanted.map(({ thin }) => outcomes.get(thin)!)
  }

  async #snapshotActiveTogether(wanted: readonly ActiveSnapshot[]): Promise<PromiseSettledResult<ThinVolume>[]> {
    const [first, ...others] = wanted
    if (others.length === 0) return Promise.allSettled([this.#snapshotActiveAlone(first!)])
    return Promise.allSettled(
      wanted.map(async ({ origin, thin, sizeBytes, kind, signal, made, reserve }) => {
        await reserve?.check()
        const { state } = await this.#snapshots.one({ origin, thin }, signal)
        made(state.snapshotTime)
        const volume = await this.#unchecked(thin, sizeBytes)
        return (kind === 'view' ? this.#readable : this.#writable).one(volume, signal)
      }),
    )
  }

  /** Makes one native call for all. If the activation fails, the snapshot is deleted again, except as the error says. */
  async #snapshotActiveAlone(wanted: ActiveSnapshot): Promise<ThinVolume> {
    const { origin, thin, sizeBytes, kind, signal, made, reserve } = wanted
    const from = await this.#unchecked(origin, sizeBytes)
    const options = { id: thin, activate: true, readOnly: kind === 'view', ...signalOption(signal) }
    try {
      const volume = await from.snapshotUnwritten(options, await reserve?.request()).catch(async (fault: unknown) => {
        if (!reserve || !hasCode(fault, 'DM_POOL_RESERVE')) throw fault
        await reserve.check() // rejects, unless there is space again
        return from.snapshotUnwritten(options, undefined)
      })
      made(volume.state.snapshotTime)
      return volume
    } catch (fault) {
      if (fault instanceof DmThinError && fault.rollback.some(({ errno }) => errno !== 0)) made()
      throw fault
    }
  }

  async #activateTogether(
    volumes: readonly ThinVolume[],
    readOnly: boolean,
    signal: Signal,
  ): Promise<PromiseSettledResult<ThinVolume>[]> {
    return settled(await this.#pool.activateMany(volumes, { readOnly, ...signalOption(signal) }))
  }

  async #deactivateTogether(volumes: readonly ThinVolume[]): Promise<PromiseSettledResult<ThinVolume>[]> {
    return settled(await this.#pool.deactivateMany(volumes, { timeoutMs: TOGETHER_MS }))
  }

  async #deleteTogether(volumes: readonly ThinVolume[]): Promise<PromiseSettledResult<ThinVolume>[]> {
    return settled(await this.#pool.deleteMany(volumes))
  }

  /** Discards the blocks of the volume: a deletion frees them in the pool, but only discards reach the devices below it. */
  async #discarded(row: NewVolume, found: ThinVolume): Promise<ThinVolume> {
    let volume = found
    // A read-only device rejects discards. Devices of views are read-only, and those of committed layers that were mounted
    // because the pool could not create further snapshots.
    const isReadOnly = row.kind === 'view' || row.kind === 'committed'
    if (isReadOnly && volume.active) await volume.deactivate({ timeoutMs: 0 })
    if (!volume.active) volume = await this.#activeForDiscard(row, volume)
    if (!volume.active) return volume
    step('remove.discard', String(row.thin))
    // A discard of a suspended device waits for its resume. If this process were killed after another of its threads had
    // suspended the device to remove it, the thread that discards would keep the process, and its locks, for good.
    await withThinLock(this.#pool.context, row.thin, () => this.#discardBlocks(row))
    return volume
  }

  async #discardBlocks(row: NewVolume): Promise<void> {
    const volume = await this.of(row)
    if (!volume.active) return
    await volume.state.resumeLeft() // a process that was killed while it removed the device leaves it suspended
    const device = await BlockDevice.open(volume.path, { exclusive: true })
    try {
      // Another program may have removed the device before it was open, and its number may have been reused.
      const now = await this.of(row)
      if (!now.active || now.path !== volume.path) return
      await device.discard({ offsetBytes: 0, lengthBytes: row.sizeBytes }).catch(undefinedIf('DM_UNSUPPORTED'))
    } finally {
      await device.close()
    }
  }

  async #activeForDiscard(row: NewVolume, volume: ThinVolume): Promise<ThinVolume> {
    try {
      return await volume.activate()
    } catch (fault) {
      if (hasCode(fault, 'DM_ALREADY_ACTIVE')) return this.of(row)
      if (hasCode(fault, 'DM_VOLUME_NOT_FOUND')) return volume
      throw fault
    }
  }
}

const settled = (results: readonly VolumeResult[]): PromiseSettledResult<ThinVolume>[] =>
  results.map(result =>
    result.status === 'fulfilled'
      ? { status: 'fulfilled', value: result.volume }
      : { status: 'rejected', reason: result.reason },
  )

/** Converts the rejection of a whole call to a rejection of each snapshot. */
const failed =
  (thins: readonly number[]) =>
  (reason: unknown): PromiseSettledResult<ThinVolume>[] =>
    thins.map(() => ({ status: 'rejected', reason }))
