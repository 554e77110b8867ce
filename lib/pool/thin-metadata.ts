// The reader of a pool's metadata: its volumes, their mappings, and the differences of two.
import {
  checkBoolean,
  checkOptions,
  checkPath,
  checkRequired,
  signalOption,
  type SignalOption,
} from '../base/options.js'
import { SECTOR_BYTES } from '../base/units.js'
import type { ThinDevice } from '../metadata/details.js'
import { dumpXml } from '../metadata/dump.js'
import type { DeltaRange, MappedRange } from '../metadata/ranges.js'
import { checkSameThins, type ThinUsage } from '../metadata/reader.js'
import type { Superblock } from '../metadata/superblock.js'
import { changedSince, saveMappings } from './bookmark/calls.js'
import { checkMetadata, type MetadataFinding } from './metadata-read/find-faults.js'
import { MetadataReads } from './metadata-read/metadata-reads.js'
import {
  checkSpan,
  deltaRangesIn,
  type Bookmark,
  type BookmarkOptions,
  type DeltaOptions,
  type OpenMetadataOptions,
  type WalkOptions,
} from './metadata-read/walk.js'
import { checkThinId } from './state/thin-ids.js'
import { ThinPool } from './thin-pool.js'

/**
 * The metadata of a pool, open for reading. Never writes. Walks run in native code on threads of the library, and hold
 * a few MiB whatever the size of the metadata. `await using` closes it.
 */
export class ThinMetadata {
  readonly #reads: MetadataReads

  private constructor(reads: MetadataReads) {
    this.#reads = reads
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
    const { signal } = options
    if (target instanceof ThinPool) {
      checkOptions(options, ['reserve', 'signal'], 'open')
      const reserve = options.reserve === undefined || checkRequired('reserve', options.reserve)
      return new ThinMetadata(await MetadataReads.openPool(target.context, reserve, signal))
    }
    checkOptions(options, ['metadataSnapshot', 'signal'], 'open')
    const path = checkPath('path', target)
    const metadataSnapshot = checkBoolean('metadataSnapshot', options.metadataSnapshot)
    return new ThinMetadata(await MetadataReads.openFile(path, metadataSnapshot, signal))
  }

  /** The superblock: the committed state of the pool. */
  get superblock(): Superblock {
    return this.#reads.superblock
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
    this.#reads.unchanging('usage')
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
    const { isSnapshot } = this.#reads.unchanging('check')
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
    this.#reads.unchanging('dump')
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
    yield* this.#reads.mappings(id, options)
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
    return saveMappings(this.#reads, id, path, options)
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
    checkPath('path', path)
    yield* changedSince(this.#reads, path, id, options)
  }

  /**
   * Waits for the calls in progress and rejects new ones; iterations that have not ended throw `DM_CLOSED`. Releases the
   * metadata snapshot of a pool. Idempotent.
   */
  async close(): Promise<void> {
    await this.#reads.close()
  }

  /** Calls `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
