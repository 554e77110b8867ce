// The reads of open metadata: small trees in TypeScript, mapping trees in native code. Each result is verified to be of the
// metadata that was opened before it is returned.
import { DmThinError } from '../base/errors.js'
import { Pending } from '../base/pending.js'
import type { Handle } from '../kernel/port/handle.js'
import type { MetadataPort, MetadataWalkRequest } from '../kernel/port/metadata-port.js'
import { NodeReader } from '../metadata/btree-walk.js'
import { findMappingRoot, readDevices, readMappingRoots, type ThinDevice } from '../metadata/details.js'
import type { MetadataSource } from './metadata-source.js'
import { isLast, progressOf, type WalkOptions } from './ranges.js'

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
    return this.#run(() => readDevices(this.#reader(signal), this.#source.superblock))
  }

  /** Returns the roots of the mapping trees, by id. */
  roots(signal: Signal): Promise<Map<number, number>> {
    return this.#run(() => readMappingRoots(this.#reader(signal), this.#source.superblock))
  }

  /** Counts the mappings of all volumes. */
  usage(roots: readonly number[], signal: Signal): Promise<CountedMappings> {
    return this.#run(async () => {
      const { metadataBlocks, dataBlocks } = this.#limits()
      const { handle } = this.#source
      const numbers = await this.#port.metadataUsage(handle, roots, metadataBlocks, dataBlocks, signal)
      const volumes = roots.map((_, at) => ({ mapped: numbers[1 + 2 * at]!, exclusive: numbers[2 + 2 * at]! }))
      return { volumes, dataBlocks: numbers[0]! }
    })
  }

  /** Yields the batches of a walk, and closes the walk at the end of the iteration, however it ends. */
  async *batches(walk: Walk, { signal, onProgress }: WalkOptions): AsyncGenerator<Float64Array, void> {
    const handle = await this.#run(async () => {
      const opened = await this.#open(walk, signal)
      this.#walks.add(opened)
      return opened
    })
    try {
      for (let last = false; !last;) {
        const batch = await this.#run(() => this.#port.metadataNext(handle, signal))
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

  async #open({ ids, ...walk }: Walk, signal: Signal): Promise<Handle> {
    const roots: number[] = []
    for (const id of ids) roots.push(await this.#root(id, signal))
    const other = roots[1] === undefined ? {} : { other: roots[1] }
    const request = { root: roots[0]!, ...other, ...this.#limits(), ...walk }
    return this.#port.metadataWalk(this.#source.handle, request, signal)
  }

  async #root(id: number, signal: Signal): Promise<number> {
    const root = await findMappingRoot(this.#reader(signal), this.#source.superblock, id)
    if (root === undefined) throw new DmThinError('DM_VOLUME_NOT_FOUND', `the metadata has no volume ${id}`)
    return root
  }

  #limits(): Pick<MetadataWalkRequest, 'metadataBlocks' | 'dataBlocks'> {
    const { metadataSpaceMap, dataSpaceMap } = this.#source.superblock
    return { metadataBlocks: metadataSpaceMap.blocks, dataBlocks: dataSpaceMap.blocks }
  }

  #reader(signal: Signal): NodeReader {
    const source = this.#source
    const read = (blocks: readonly number[]) => source.read(blocks, signal)
    const { metadataBlocks } = this.#limits()
    return new NodeReader({ blockCount: source.blockCount, read }, { metadataBlocks, signal })
  }

  #run<T>(body: () => Promise<T>): Promise<T> {
    return this.#pending.run(() => this.#source.whileUnchanged(body))
  }
}
