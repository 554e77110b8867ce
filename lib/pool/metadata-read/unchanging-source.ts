// The place from which metadata is read: a device or file at rest, or the metadata snapshot of a running pool.
import { DmThinError, hasCode } from '../../base/errors.js'
import type { Handle } from '../../kernel/port/handle.js'
import type { MachinePort } from '../../kernel/port/machine-port.js'
import { NodeReader } from '../../metadata/btree-walk.js'
import { findMappingRoot } from '../../metadata/details.js'
import { corruptBlock, MetadataError } from '../../metadata/metadata-error.js'
import { classifySuperblock, parseSuperblock, type Superblock } from '../../metadata/superblock.js'

/** The number of attempts at the superblock of a running pool: the kernel may be writing it. */
const SUPERBLOCK_TRIES = 5

/** Volumes that were found for a walk. */
export interface FoundVolumes {
  /** The roots of their mapping trees. */
  readonly roots: readonly number[]
  readonly superblock: Superblock
  /** Rejects with `DM_METADATA_BUSY` if what was read since may not be of these volumes. `isLast`: at the end of the walk. */
  readonly verify: (isLast: boolean) => Promise<void>
}

/** Open metadata. */
export interface MetadataSource {
  readonly path: string
  readonly handle: Handle
  /** The superblock at the time of opening. */
  readonly superblock: Superblock
  /** Runs a read, all of whose blocks belong to one commit. */
  read<T>(signal: AbortSignal | undefined, body: (superblock: Superblock, reader: NodeReader) => Promise<T>): Promise<T>
  /** Finds volumes. Rejects with `DM_VOLUME_NOT_FOUND`. */
  find(ids: readonly number[], signal: AbortSignal | undefined): Promise<FoundVolumes>
  close(): Promise<void>
}

/** Runs a read, and rejects if `verify` does: what was read may be a mixture, corrupt blocks included. */
export async function verified<T>(verify: () => Promise<void>, body: () => Promise<T>): Promise<T> {
  try {
    const result = await body()
    await verify()
    return result
  } catch (fault) {
    if (hasCode(fault, 'DM_METADATA_CORRUPT')) await verify()
    throw fault
  }
}

/** Returns the error for a volume that the metadata does not have. */
export const noVolume = (id: number): DmThinError =>
  new DmThinError('DM_VOLUME_NOT_FOUND', `the metadata has no volume ${id}`)

/** Metadata that must not change while it is open: at rest, or a metadata snapshot. */
export class UnchangingSource implements MetadataSource {
  readonly #port: MachinePort
  readonly #before: readonly Uint8Array[]
  readonly path: string
  readonly handle: Handle
  readonly #blockCount: number
  /** The superblock in block 0, or its copy in the metadata snapshot. */
  readonly superblock: Superblock

  private constructor(
    port: MachinePort,
    path: string,
    opened: { readonly handle: Handle; readonly blocks: number },
    read: { readonly superblock: Superblock; readonly before: readonly Uint8Array[] },
  ) {
    this.#port = port
    this.path = path
    this.#before = read.before
    this.handle = opened.handle
    this.#blockCount = opened.blocks
    this.superblock = read.superblock
  }

  static async open(
    port: MachinePort,
    path: string,
    metadataSnapshot: boolean,
    signal: AbortSignal | undefined,
  ): Promise<UnchangingSource> {
    const opened = await port.metadataOpen(path, !metadataSnapshot, signal)
    try {
      const readBlock = async (block: number) => (await port.metadataRead(opened.handle, [block], signal))[0]!
      if (opened.blocks < 1) throw corruptBlock(0, `${path} is smaller than a superblock`)
      const read = metadataSnapshot ? await readSnapshot(readBlock, path) : await readAtRest(readBlock, path)
      const { blocks } = read.superblock.metadataSpaceMap
      if (blocks > opened.blocks) throw corruptBlock(0, `${blocks} metadata blocks on a device of ${opened.blocks}`)
      return new UnchangingSource(port, path, opened, read)
    } catch (fault) {
      await port.release(opened.handle)
      throw fault
    }
  }

  /** True if a metadata snapshot is read. */
  get isSnapshot(): boolean {
    return this.#before.length > 1
  }

  read<T>(
    signal: AbortSignal | undefined,
    body: (superblock: Superblock, reader: NodeReader) => Promise<T>,
  ): Promise<T> {
    const source = { blockCount: this.#blockCount, read: (blocks: readonly number[]) => this.#blocks(blocks, signal) }
    const reader = new NodeReader(source, { metadataBlocks: this.superblock.metadataSpaceMap.blocks, signal })
    return verified(
      () => this.#verify(),
      () => body(this.superblock, reader),
    )
  }

  async find(ids: readonly number[], signal: AbortSignal | undefined): Promise<FoundVolumes> {
    const roots = await this.read(signal, async (superblock, reader) => {
      const found: number[] = []
      for (const id of ids) {
        const root = await findMappingRoot(reader, superblock, id)
        if (root === undefined) throw noVolume(id)
        found.push(root)
      }
      return found
    })
    return { roots, superblock: this.superblock, verify: () => this.#verify() }
  }

  #blocks(blocks: readonly number[], signal?: AbortSignal): Promise<Uint8Array[]> {
    return this.#port.metadataRead(this.handle, blocks, signal)
  }

  async #verify(): Promise<void> {
    const held = this.isSnapshot
    const main = await this.#blocks([0])
    const now = held ? [main[0]!, ...(await this.#blocks([parseHeld(this.#before[0]!)]))] : main
    // Block 0 of a running pool changes with each commit; what counts is that it still refers to the metadata snapshot.
    const same = held
      ? parseHeld(now[0]!) === parseHeld(this.#before[0]!) && Buffer.compare(now[1]!, this.#before[1]!) === 0
      : Buffer.compare(now[0]!, this.#before[0]!) === 0
    if (same) return
    const what = held ? 'its metadata snapshot was released' : 'it is in use'
    throw new MetadataError('DM_METADATA_BUSY', `The metadata in ${this.path} has changed since it was opened: ${what}`)
  }

  close(): Promise<void> {
    return this.#port.release(this.handle)
  }
}

/** Returns the block of the metadata snapshot in a superblock that was valid when it was read first. */
const parseHeld = (bytes: Uint8Array): number =>
  Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(56, true))

type ReadBlock = (block: number) => Promise<Uint8Array>

async function readAtRest(readBlock: ReadBlock, path: string) {
  const bytes = await readBlock(0)
  if (classifySuperblock(bytes).kind === 'blank') throw blank(path)
  return { superblock: parseSuperblock(bytes), before: [bytes] }
}

async function readSnapshot(readBlock: ReadBlock, path: string) {
  for (let tries = 1; ; tries++) {
    const main = await readBlock(0)
    if (classifySuperblock(main).kind === 'blank') throw blank(path)
    try {
      const mainSuperblock = parseSuperblock(main)
      const block = mainSuperblock.metadataSnapshotBlock
      if (block === 0) throw notHeld(path)
      const copy = await readBlock(block)
      return { superblock: parseSuperblock(copy, block, mainSuperblock), before: [main, copy] }
    } catch (fault) {
      if (tries === SUPERBLOCK_TRIES || !hasCode(fault, 'DM_METADATA_CORRUPT')) throw fault
    }
  }
}

const blank = (path: string): DmThinError =>
  new DmThinError('DM_METADATA_BLANK', `${path} is blank: it has no metadata of a pool`, { device: path })

const notHeld = (path: string): DmThinError =>
  new DmThinError('DM_METADATA_SNAPSHOT_NOT_HELD', `the metadata in ${path} has no metadata snapshot`, { device: path })
