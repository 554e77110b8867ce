// The reads of open metadata: small trees in TypeScript, mapping trees in native code. Each result is verified to be of the
// metadata that was opened before it is returned.
import { Pending } from '../base/pending.js'
import type { Handle } from '../kernel/port/handle.js'
import type { MetadataPort, MetadataWalkRequest } from '../kernel/port/metadata-port.js'
import { findDevice, readDevices, readMappingRoots, type ThinDevice } from '../metadata/details.js'
import type { Superblock } from '../metadata/superblock.js'
import { noVolume, verified, type FoundVolumes, type MetadataSource } from './metadata-source.js'
import type { WalkOptions } from './options.js'
import { isLast, progressOf } from './ranges.js'

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
  readonly #port: MetadataPort
  readonly #source: MetadataSource
  readonly #pending: Pending
  /** The walks of iterations that have not ended. */
  readonly #walks = new Set<Handle>()

  constructor(port: MetadataPort, source: MetadataSource) {
    this.#port = port
    this.#source = source
    this.#pending = new Pending(`the metadata in ${source.path}`)
  }

  devices(signal: Signal): Promise<ThinDevice[]> {
    return this.#pending.run(() => this.#source.read(signal, (superblock, reader) => readDevices(reader, superblock)))
  }

  /** Returns one volume and the superblock of the same commit. Rejects with `DM_VOLUME_NOT_FOUND`. */
  device(id: number, signal: Signal): Promise<{ readonly superblock: Superblock; readonly device: ThinDevice }> {
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

  /** Waits for the reads in progress, rejects new ones, closes the device, and then calls `last`. */
  close(last: () => Promise<void>): Promise<void> {
    return this.#pending.close(async () => {
      // A walk keeps the device open.
      await Promise.all([...this.#walks].map(walk => this.#port.release(walk)))
      await this.#source.close()
      await last()
    })
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
