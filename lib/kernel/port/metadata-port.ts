// The metadata of pools: blocks, and walks over mapping trees.
import type { Handle, HandlePort } from './handle.js'

export interface MetadataWalkRequest {
  /** The root of a volume's mapping tree. */
  readonly root: number
  /** The root of the volume to compare it with. Default: none, so that the walk returns the mappings. */
  readonly other?: number
  /** The number of metadata blocks in use, to which the nodes may refer. */
  readonly metadataBlocks: number
  /** The number of data blocks of the pool. */
  readonly dataBlocks: number
  /** The first virtual block, and the one after the last. */
  readonly from: number
  readonly to: number
  /** Ends ranges where the data blocks are not contiguous or the times differ. */
  readonly byData: boolean
  /** Includes ranges that are equal in both volumes, which reads both trees completely. */
  readonly same: boolean
}

export interface MetadataPort extends HandlePort {
  /**
   * Opens a metadata device, or a file of one, for reading past the page cache. `exclusive`: EBUSY if a device is in use.
   * `blocks`: its size in blocks of 4096 bytes.
   */
  metadataOpen(
    path: string,
    exclusive: boolean,
    signal?: AbortSignal,
  ): Promise<{ readonly handle: Handle; readonly blocks: number }>
  /** Reads blocks of 4096 bytes; EIO past the end. */
  metadataRead(metadata: Handle, blocks: readonly number[], signal?: AbortSignal): Promise<Uint8Array[]>
  /** Opens a walk, which `release` closes. */
  metadataWalk(metadata: Handle, request: MetadataWalkRequest, signal?: AbortSignal): Promise<Handle>
  /**
   * Returns the next batch, in the format of native/metadata/range_list.h. One call at a time; there is no next batch
   * after the last, nor after a failure. EUCLEAN: a block violates the format; the detail is its number and the fault.
   */
  metadataNext(walk: Handle, signal?: AbortSignal): Promise<Float64Array>
  /**
   * Counts the mappings of the trees at `roots`, which are all of the pool. Returns the number of data blocks that at least
   * one tree maps, and for each root its mappings, and the data blocks that it alone maps. EUCLEAN: as `metadataNext`.
   */
  metadataUsage(
    metadata: Handle,
    roots: readonly number[],
    metadataBlocks: number,
    dataBlocks: number,
    signal?: AbortSignal,
  ): Promise<Float64Array>
}
