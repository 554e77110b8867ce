// The reader of a pool's metadata: its volumes, their mappings, and the differences of two.
import { DmThinError } from '../base/errors.js'
import {
  checkBoolean,
  checkOptions,
  checkPath,
  checkRequired,
  signalOption,
  type SignalOption,
} from '../base/options.js'
import { SECTOR_BYTES } from '../base/units.js'
import { nativePort } from '../kernel/native-port.js'
import type { ThinDevice } from '../metadata/details.js'
import { dumpXml } from '../metadata/dump.js'
import { checkSameThins, type ThinUsage } from '../metadata/reader.js'
import type { DeltaRange, MappedRange } from '../metadata/ranges.js'
import type { Superblock } from '../metadata/superblock.js'
import { commitPool } from '../pool/state/commit-point.js'
import { poolTable, type PoolContext } from '../pool/state/context.js'
import { explained } from '../pool/state/explain-error.js'
import { ThinPool } from '../pool/thin-pool.js'
import { checkThinId } from '../pool/volume/volume-options.js'
import { checkMetadata, type MetadataFinding } from './check.js'
import { MetadataLease } from '../pool/metadata-lease.js'
import { MetadataReads } from './metadata-reads.js'
import { LiveSource } from './live-source.js'
import { UnchangingSource, type MetadataSource } from './metadata-source.js'
import { changedSince, saveMappings, type Bookmarked } from './bookmark/calls.js'
import type { Bookmark, BookmarkOptions, DeltaOptions, OpenMetadataOptions, WalkOptions } from './options.js'
import { checkSpan, deltaRangesIn, mappedRangesIn } from './ranges.js'

/**
 * The metadata of a pool, open for reading. Never writes. Walks run in native code on threads of the library, and hold
 * a few MiB whatever the size of the metadata. `await using` closes it.
 */
export class ThinMetadata {
  readonly #reads: MetadataReads
  readonly #source: MetadataSource
  readonly #pool: PoolContext | undefined
  readonly #lease: MetadataLease | undefined

  private constructor(source: MetadataSource, pool?: PoolContext, lease?: MetadataLease) {
    this.#reads = new MetadataReads(nativePort(), source)
    this.#source = source
    this.#pool = pool
    this.#lease = lease
  }

  /**
   * Opens the metadata of a running pool, or the metadata in a file or on a block device.
   *
   * Of a running pool, the state at this call is read while the pool changes: a metadata snapshot is reserved, and
   * released by `close()`. Until then no data block of that state is freed. A pool has one metadata snapshot: waits while
   * another reader of this library, in any process, has it open. One that a killed reader left behind is released first.
   * The data blocks of a volume that is written after this call may change; those of a volume that nobody writes do not.
   *
   * A device must not be in use, unless its metadata snapshot is read. A file that a running pool uses through a loop
   * device is not recognised as in use; calls that read it reject with `DM_METADATA_BUSY` if the pool commits before they
   * end.
   *
   * Rejects with `DM_FILE_MISSING`, `DM_BUSY` (the device is in use), `DM_METADATA_BLANK`, `DM_METADATA_CORRUPT`,
   * `DM_METADATA_SNAPSHOT_HELD` (by another program), `DM_METADATA_SNAPSHOT_NOT_HELD`, `DM_POOL_READ_ONLY`,
   * `DM_POOL_FAILED`, `DM_NOT_COMMITTED`, `DM_NOT_FOUND` (the pool was removed), `DM_UNSUPPORTED` (a pool in memory),
   * `DM_PERMISSION`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
   */
  static async open(target: string | ThinPool, options: OpenMetadataOptions = {}): Promise<ThinMetadata> {
    if (target instanceof ThinPool) return ThinMetadata.openPool(target.context, options)
    checkOptions(options, ['metadataSnapshot', 'signal'], 'open')
    const path = checkPath('path', target)
    const metadataSnapshot = checkBoolean('metadataSnapshot', options.metadataSnapshot)
    return new ThinMetadata(await UnchangingSource.open(nativePort(), path, metadataSnapshot, options.signal))
  }

  /** @internal Opens the metadata of a running pool, for a call of one of its volumes. */
  static async openPool(pool: PoolContext, options: OpenMetadataOptions): Promise<ThinMetadata> {
    checkOptions(options, ['reserve', 'signal'], 'open')
    const reserve = options.reserve === undefined || checkRequired('reserve', options.reserve)
    const port = nativePort()
    if (pool.port !== port) {
      throw new DmThinError('DM_UNSUPPORTED', 'the metadata of a pool in memory cannot be read: see docs/testing.md')
    }
    return pool.pending.run(async () => {
      if (!reserve) {
        await commitPool(pool, options.signal)
        const source = await ofRunning(pool, LiveSource.open(pool, port, options.signal))
        return ThinMetadata.#ofPool(pool, new ThinMetadata(source, pool), options.signal)
      }
      const lease = await explained(pool, MetadataLease.take(pool, options.signal))
      try {
        const source = await ofRunning(pool, UnchangingSource.open(port, pool.metadataPath, true, options.signal))
        return await ThinMetadata.#ofPool(pool, new ThinMetadata(source, pool, lease), options.signal)
      } catch (fault) {
        await lease.release().catch(() => {})
        throw fault
      }
    })
  }

  /**
   * Closes the metadata and rejects with `DM_NOT_FOUND` if the pool was removed before its device was opened: the device
   * may be that of another pool by now. As long as it is open, it stays the same.
   */
  static async #ofPool(
    pool: PoolContext,
    metadata: ThinMetadata,
    signal: AbortSignal | undefined,
  ): Promise<ThinMetadata> {
    try {
      await poolTable(pool, signal)
      return metadata
    } catch (fault) {
      await metadata.#reads.close(() => Promise.resolve())
      throw fault
    }
  }

  /** The superblock: the committed state of the pool. */
  get superblock(): Superblock {
    return this.#source.superblock
  }

  /** The data block size in bytes: the unit of all ranges. */
  get dataBlockBytes(): number {
    return this.superblock.dataBlockSizeSectors * SECTOR_BYTES
  }

  /**
   * Returns all volumes by ascending id. Reads one node for 42 to 126 volumes, and no mappings. Rejects with
   * `DM_METADATA_CORRUPT`, `DM_METADATA_BUSY` (the metadata has changed since it was opened), `DM_CLOSED`, `ABORT_ERR`.
   */
  async devices(options: SignalOption = {}): Promise<ThinDevice[]> {
    checkOptions(options, ['signal'], 'devices')
    return this.#reads.devices(options.signal)
  }

  /**
   * Returns all volumes with their exclusive and shared blocks, by ascending id. Reads each distinct node of all mapping
   * trees, and those of one volume alone twice. Needs 2 bits of memory for each data block of the pool, and 32 bytes for
   * each metadata block. Rejects like `devices`.
   */
  async usage(options: SignalOption = {}): Promise<ThinUsage[]> {
    checkOptions(options, ['signal'], 'usage')
    this.#unchanging('usage')
    const devices = await this.#reads.devices(options.signal)
    const roots = await this.#reads.roots(options.signal)
    checkSameThins(this.superblock, devices, roots)
    const { volumes } = await this.#reads.usage([...roots.values()], options.signal)
    return devices.map((device, at) => {
      const { mapped, exclusive } = volumes[at]!
      return { ...device, mappedBlocks: mapped, exclusiveBlocks: exclusive, sharedBlocks: mapped - exclusive }
    })
  }

  /**
   * Reads all volumes and mappings, and returns the faults; an empty list if there is none. Does not read the space maps,
   * except for their totals: use `thin_check` to check those. Costs as much as `usage`. If a block is corrupt, reads each
   * volume by itself, to name all that it belongs to. Rejects with `DM_METADATA_BUSY`, `DM_CLOSED`, `ABORT_ERR`.
   */
  async check(options: SignalOption = {}): Promise<MetadataFinding[]> {
    checkOptions(options, ['signal'], 'check')
    const { isSnapshot } = this.#unchanging('check')
    const { signal } = options
    return checkMetadata({
      superblock: this.superblock,
      isWhole: !isSnapshot && this.superblock.metadataSnapshotBlock === 0,
      devices: () => this.#reads.devices(signal),
      roots: () => this.#reads.roots(signal),
      usage: roots => this.#reads.usage(roots, signal),
      count: async id => {
        let mapped = 0
        for await (const { length } of this.mappings(id, signalOption(signal))) mapped += length
        return mapped
      },
    })
  }

  /**
   * Returns the metadata as text in pieces, in the XML of `thin_dump`, which `thin_restore` reads. Mappings that volumes
   * share are repeated for each of them. Throws like `mappings`.
   */
  async *dump(options: SignalOption = {}): AsyncGenerator<string, void> {
    checkOptions(options, ['signal'], 'dump')
    this.#unchanging('dump')
    const mappings = (id: number) => this.mappings(id, options)
    yield* dumpXml({ superblock: this.superblock, devices: await this.devices(options), mappings })
  }

  /**
   * Returns the mappings of a volume, by ascending virtual block, in ranges of contiguous data blocks. Reads its whole
   * tree, 84 to 252 mappings in each node, as the iteration proceeds.
   *
   * Throws `DM_VOLUME_NOT_FOUND`, `DM_METADATA_CORRUPT`, `DM_METADATA_BUSY` (the metadata has changed since it was
   * opened), `DM_INVALID_ARGUMENT`, `DM_CLOSED`, `ABORT_ERR`.
   */
  async *mappings(id: number, options: WalkOptions = {}): AsyncGenerator<MappedRange, void> {
    checkOptions(options, ['from', 'to', 'onProgress', 'signal'], 'mappings')
    const wanted = { ids: [checkThinId(id)], ...checkSpan(options), byData: true, same: false }
    for await (const batch of this.#reads.batches(wanted, options)) yield* mappedRangesIn(batch)
  }

  /**
   * Returns the differences between the mappings of two volumes, by ascending virtual block. Reads only what differs:
   * subtrees that the volumes share are passed over, so that the cost depends on the number of changes and not on the
   * size of the volumes. Two volumes that share no nodes are read completely.
   *
   * Equal data blocks have equal contents, because all mappings are from one commit. Different data blocks may have
   * equal contents. Of a block that is mapped on one side only, the other side reads zeros, or its external origin.
   *
   * Throws like `mappings`.
   */
  async *delta(left: number, right: number, options: DeltaOptions = {}): AsyncGenerator<DeltaRange, void> {
    checkOptions(options, ['from', 'to', 'same', 'withData', 'onProgress', 'signal'], 'delta')
    const withData = checkBoolean('withData', options.withData)
    const same = checkBoolean('same', options.same)
    const ids = [checkThinId(left), checkThinId(right)]
    const wanted = { ids, ...checkSpan(options), byData: withData, same }
    for await (const batch of this.#reads.batches(wanted, options)) yield* deltaRangesIn(batch, withData)
  }

  /**
   * Saves the mappings of a volume of a running pool in a file, which replaces a file of that path when it is complete and
   * on disk. After that the volume may be deleted: `changedSince` returns what has changed. The file is valid while the pool
   * runs, and after stops by `pool.remove()` of a pool with a record.
   *
   * The volume must be a snapshot that was not written, or an origin that was not written since its last snapshot. Reads its
   * whole tree, as `mappings` does. Rejects like `mappings`, and with `DM_BOOKMARK_INVALID` (the volume was written since;
   * the pool is near the limit of its snapshots, or needs a check), `DM_UNSUPPORTED` (not a running pool, or one that
   * another program has started), `DM_NOT_COMMITTED`, `DM_NOT_FOUND` (the pool was removed), `DM_FILE_MISSING`,
   * `DM_PERMISSION`, `DM_KERNEL` (the file cannot be written).
   */
  async bookmark(id: number, path: string, options: BookmarkOptions = {}): Promise<Bookmark> {
    checkOptions(options, ['onProgress', 'signal'], 'bookmark')
    checkPath('path', path)
    return saveMappings(await this.#bookmarked('bookmark', id, options), path)
  }

  /**
   * Returns the differences from the mappings that `bookmark` has saved, on the left, to those of a volume, on the right,
   * by ascending virtual block. The volume need not descend from the saved one. Reads its whole tree, and the file twice.
   *
   * A block that is not returned has the content that it had. A block that is returned may have it too.
   *
   * Throws like `mappings`, and `DM_BOOKMARK_INVALID`, whose `detail` is the reason, `DM_UNSUPPORTED` (not a running pool),
   * `DM_NOT_COMMITTED`, `DM_NOT_FOUND` (the pool was removed), `DM_FILE_MISSING`, `DM_PERMISSION`.
   */
  async *changedSince(path: string, id: number, options: WalkOptions = {}): AsyncGenerator<DeltaRange, void> {
    checkOptions(options, ['from', 'to', 'onProgress', 'signal'], 'changedSince')
    const span = checkSpan(options)
    checkPath('path', path)
    yield* changedSince(await this.#bookmarked('changedSince', id, options), path, span)
  }

  /**
   * Waits for the calls in progress and rejects new ones; iterations that have not ended throw `DM_CLOSED`. Releases the
   * metadata snapshot of a pool. Idempotent.
   */
  async close(): Promise<void> {
    await this.#reads.close(async () => this.#lease?.release())
  }

  /** Calls `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Returns the volume for a call with a bookmark. */
  async #bookmarked(call: string, id: number, options: WalkOptions): Promise<Bookmarked> {
    checkThinId(id)
    const { signal } = options
    const pool = this.#pool
    if (!pool) throw new DmThinError('DM_UNSUPPORTED', `${call}() needs a running pool: open it with a ThinPool`)
    // Without a metadata snapshot, what is read is the last commit.
    if (this.#source instanceof LiveSource) await commitPool(pool, signal)
    const { superblock, device } = await this.#reads.device(id, signal)
    return { pool, superblock, device, mappings: this.mappings(id, options), signal }
  }

  /** Returns the source for a call whose reads must all be of one state. */
  #unchanging(call: string): UnchangingSource {
    if (this.#source instanceof UnchangingSource) return this.#source
    throw new DmThinError('DM_UNSUPPORTED', `${call}() reads all volumes: open the pool without \`reserve: false\``)
  }
}

/** Replaces the error of a call by `DM_NOT_FOUND` if the pool was removed: its device may be that of another pool by now. */
async function ofRunning<T>(pool: PoolContext, call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (fault) {
    await poolTable(pool)
    throw fault
  }
}
