// The reads of open metadata: small trees in TypeScript, mapping trees in native code. Each result is verified to be of the
// metadata that was opened before it is returned.
import { DmThinError } from '../../base/errors.js'
import { Pending } from '../../base/pending.js'
import { nativePort } from '../../kernel/native-port.js'
import type { Handle } from '../../kernel/port/handle.js'
import type { MachinePort, MetadataWalkRequest } from '../../kernel/port/machine-port.js'
import { findDevice, readDevices, readMappingRoots, type ThinDevice } from '../../metadata/details.js'
import type { MappedRange } from '../../metadata/ranges.js'
import type { Superblock } from '../../metadata/superblock.js'
import { commitPool } from '../state/commit-point.js'
import { poolTable, type PoolContext } from '../state/context.js'
import { explained } from '../state/explain-error.js'
import { checkThinId } from '../state/thin-ids.js'
import { LiveSource } from './live-source.js'
import { MetadataLease } from './metadata-snapshot.js'
import { noVolume, UnchangingSource, verified, type FoundVolumes, type MetadataSource } from './unchanging-source.js'
import { checkSpan, isLast, mappedRangesIn, progressOf, type WalkOptions } from './walk.js'

/** The mappings of some volumes. */
export interface CountedMappings {
  /** For each root, the mappings, and the data blocks that nothing else maps. */
  readonly volumes: readonly { readonly mapped: number; readonly exclusive: number }[]
  /** The data blocks that at least one volume maps. */
  readonly dataBlocks: number
}

/** The volume that a walk reads, or the two that it compares. */
export interface Walk extends Pick<MetadataWalkRequest, 'from' | 'to' | 'byData' | 'same'> {
  readonly ids: readonly number[]
}

type Signal = AbortSignal | undefined

export class MetadataReads {
  readonly #port: MachinePort
  readonly #source: MetadataSource
  readonly #pending: Pending
  readonly #lease: MetadataLease | undefined
  /** The running pool, if it is the metadata of one. */
  readonly pool: PoolContext | undefined
  /** The walks of iterations that have not ended. */
  readonly #walks = new Set<Handle>()

  private constructor(port: MachinePort, source: MetadataSource, pool?: PoolContext, lease?: MetadataLease) {
    this.#port = port
    this.#source = source
    this.pool = pool
    this.#lease = lease
    this.#pending = new Pending(`the metadata in ${source.path}`)
  }

  /** Opens the metadata in a file or on a block device: at rest, or with a metadata snapshot that somebody holds. */
  static async openFile(path: string, metadataSnapshot: boolean, signal: Signal): Promise<MetadataReads> {
    const port = nativePort()
    return new MetadataReads(port, await UnchangingSource.open(port, path, metadataSnapshot, signal))
  }

  /**
   * Opens the metadata of a running pool: with `reserve` its state at this call, in a metadata snapshot that `close`
   * releases; without, its last commit at each read.
   */
  static async openPool(pool: PoolContext, reserve: boolean, signal: Signal): Promise<MetadataReads> {
    const port = nativePort()
    if (pool.port !== port) {
      throw new DmThinError('DM_UNSUPPORTED', 'the metadata of a pool in memory cannot be read: see docs/testing.md')
    }
    return pool.pending.run(async () => {
      if (!reserve) {
        await commitPool(pool, signal)
        const source = await ofRunning(pool, LiveSource.open(pool, port, signal))
        return new MetadataReads(port, source, pool).#ofPool(pool, signal)
      }
      const lease = await explained(pool, MetadataLease.take(pool, signal))
      try {
        const source = await ofRunning(pool, UnchangingSource.open(port, pool.metadataPath, true, signal))
        return await new MetadataReads(port, source, pool, lease).#ofPool(pool, signal)
      } catch (fault) {
        await lease.release().catch(() => {})
        throw fault
      }
    })
  }

  /** The superblock: the committed state of the pool. */
  get superblock(): Superblock {
    return this.#source.superblock
  }

  /** Returns the source for a call whose reads must all be of one state. Throws `DM_UNSUPPORTED` if there is none. */
  unchanging(call: string): UnchangingSource {
    if (this.#source instanceof UnchangingSource) return this.#source
    throw new DmThinError('DM_UNSUPPORTED', `${call}() reads all volumes: open the pool without \`reserve: false\``)
  }

  devices(signal: Signal): Promise<ThinDevice[]> {
    return this.#pending.run(() => this.#source.read(signal, (superblock, reader) => readDevices(reader, superblock)))
  }

  /** Returns one volume and the superblock of the same commit. Rejects with `DM_VOLUME_NOT_FOUND`. */
  async device(id: number, signal: Signal): Promise<{ readonly superblock: Superblock; readonly device: ThinDevice }> {
    // Without a metadata snapshot, what is read is the last commit.
    if (this.pool && this.#source instanceof LiveSource) await commitPool(this.pool, signal)
    return this.#pending.run(() =>
      this.#source.read(signal, async (superblock, reader) => {
        const device = await findDevice(reader, superblock, id)
        if (!device) throw noVolume(id)
        return { superblock, device }
      }),
    )
  }

  /** Returns the roots of the mapping trees, by id. */
  roots(signal: Signal): Promise<Map<number, number>> {
    return this.#pending.run(() =>
      this.#source.read(signal, (superblock, reader) => readMappingRoots(reader, superblock)),
    )
  }

  /** Counts the mappings of all volumes. */
  usage(roots: readonly number[], signal: Signal): Promise<CountedMappings> {
    const count = async (superblock: Superblock): Promise<CountedMappings> => {
      const { metadataBlocks, dataBlocks } = limitsOf(superblock)
      const { handle } = this.#source
      const numbers = await this.#port.metadataUsage(handle, roots, metadataBlocks, dataBlocks, signal)
      const volumes = roots.map((_, at) => ({ mapped: numbers[1 + 2 * at]!, exclusive: numbers[2 + 2 * at]! }))
      return { volumes, dataBlocks: numbers[0]! }
    }
    return this.#pending.run(() => this.#source.read(signal, count))
  }

  /** Yields the mappings of a volume. */
  async *mappings(id: number, options: WalkOptions): AsyncGenerator<MappedRange, void> {
    const wanted = { ids: [checkThinId(id)], ...checkSpan(options), byData: true, same: false }
    for await (const batch of this.batches(wanted, options)) yield* mappedRangesIn(batch)
  }

  /** Yields the batches of a walk, and closes the walk at the end of the iteration, however it ends. */
  async *batches(walk: Walk, { signal, onProgress }: WalkOptions): AsyncGenerator<Float64Array, void> {
    const { handle, verify } = await this.#pending.run(() => this.#open(walk, signal))
    const next = async (): Promise<Float64Array> => {
      let last = false
      return verified(
        () => verify(last),
        async () => {
          const batch = await this.#port.metadataNext(handle, signal)
          last = isLast(batch)
          return batch
        },
      )
    }
    try {
      for (let last = false; !last;) {
        const batch = await this.#pending.run(next)
        last = isLast(batch)
        onProgress?.(progressOf(batch))
        yield batch
      }
    } finally {
      this.#walks.delete(handle)
      await this.#port.release(handle)
    }
  }

  /** Waits for the reads in progress, rejects new ones, closes the device, and releases the metadata snapshot. */
  async close(): Promise<void> {
    await this.#closeDevice(async () => this.#lease?.release())
  }

  #closeDevice(last: () => Promise<void>): Promise<void> {
    return this.#pending.close(async () => {
      // A walk keeps the device open.
      await Promise.all([...this.#walks].map(walk => this.#port.release(walk)))
      await this.#source.close()
      await last()
    })
  }

  /**
   * Closes the device and rejects with `DM_NOT_FOUND` if the pool was removed before its device was opened: the device
   * may be that of another pool by now. As long as it is open, it stays the same.
   */
  async #ofPool(pool: PoolContext, signal: Signal): Promise<this> {
    try {
      await poolTable(pool, signal)
      return this
    } catch (fault) {
      await this.#closeDevice(() => Promise.resolve())
      throw fault
    }
  }

  async #open({ ids, ...walk }: Walk, signal: Signal): Promise<Pick<FoundVolumes, 'verify'> & { handle: Handle }> {
    const { roots, superblock, verify } = await this.#source.find(ids, signal)
    const other = roots[1] === undefined ? {} : { other: roots[1] }
    const request = { root: roots[0]!, ...other, ...limitsOf(superblock), ...walk }
    const handle = await this.#port.metadataWalk(this.#source.handle, request, signal)
    this.#walks.add(handle)
    return { handle, verify }
  }
}

const limitsOf = ({
  metadataSpaceMap,
  dataSpaceMap,
}: Superblock): Pick<MetadataWalkRequest, 'metadataBlocks' | 'dataBlocks'> => ({
  metadataBlocks: metadataSpaceMap.blocks,
  dataBlocks: dataSpaceMap.blocks,
})

/** Replaces the error of a call by `DM_NOT_FOUND` if the pool was removed: its device may be that of another pool by now. */
async function ofRunning<T>(pool: PoolContext, call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (fault) {
    await poolTable(pool)
    throw fault
  }
}
