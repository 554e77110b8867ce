// The metadata of a running pool, without a metadata snapshot: for volumes that nobody writes.
//
// Why this is sound: the nodes of a volume's tree are replaced only if the volume is written. The kernel writes in place
// only what it has allocated since the last commit, and allocates only blocks that are free in the last commit too; so as
// long as the volume exists and has its root, its nodes are on the disk as they were, whatever happens to others. Its root
// stays where it is when others are written or deleted, and when it is activated, read or snapshotted.
//
// What is verified: the volume has the same root, creation and number of mappings after each read as before the first. That
// finds a volume that was written or deleted, unless writes have put as many mappings in place and the root on its old
// block, and an id that was used again, unless the new volume is equal in all of that. So it is the caller who promises that
// nobody writes the volumes; those that are active for writing are refused.
import { isDeepStrictEqual } from 'node:util'
import { DmThinError, undefinedIf } from '../../base/errors.js'
import type { Handle } from '../../kernel/port/handle.js'
import { DEVICE_FLAG } from '../../kernel/port/device-port.js'
import type { MachinePort } from '../../kernel/port/machine-port.js'
import type { NodeReader } from '../../metadata/btree-walk.js'
import { findDevice, findMappingRoot } from '../../metadata/details.js'
import { MetadataError } from '../../metadata/metadata-error.js'
import { readCommitted } from '../../metadata/reader.js'
import type { Superblock } from '../../metadata/superblock.js'
import type { PoolContext } from '../state/context.js'
import { noVolume, type FoundVolumes, type MetadataSource } from './unchanging-source.js'

type Signal = AbortSignal | undefined

/** What a volume must keep. `snapshottedTime` is not in it: a snapshot of the volume changes it. */
interface Identity {
  readonly root: number
  readonly mappedBlocks: number
  readonly transactionId: bigint
  readonly creationTime: number
}

export class LiveSource implements MetadataSource {
  readonly #pool: PoolContext
  readonly #port: MachinePort
  readonly path: string
  readonly handle: Handle
  readonly superblock: Superblock

  private constructor(pool: PoolContext, port: MachinePort, handle: Handle, superblock: Superblock) {
    this.#pool = pool
    this.#port = port
    this.path = pool.metadataPath
    this.handle = handle
    this.superblock = superblock
  }

  static async open(pool: PoolContext, port: MachinePort, signal: Signal): Promise<LiveSource> {
    const { handle } = await port.metadataOpen(pool.metadataPath, false, signal)
    try {
      const superblock = await committed(port, handle, signal, each => Promise.resolve(each))
      return new LiveSource(pool, port, handle, superblock)
    } catch (fault) {
      await port.release(handle)
      throw fault
    }
  }

  read<T>(signal: Signal, body: (superblock: Superblock, reader: NodeReader) => Promise<T>): Promise<T> {
    return committed(this.#port, this.handle, signal, body)
  }

  async find(ids: readonly number[], signal: Signal): Promise<FoundVolumes> {
    await this.#checkInactive(ids, signal)
    const { superblock, identities } = await this.#identify(ids, signal)
    const missing = ids.find((_, at) => !identities[at])
    if (missing !== undefined) throw noVolume(missing)
    const verify = async (isLast: boolean): Promise<void> => {
      const now = await this.#identify(ids, signal)
      const changed = ids.find((_, at) => !isDeepStrictEqual(now.identities[at], identities[at]))
      if (changed !== undefined) throw changedVolume(this.#pool, changed)
      if (isLast) await this.#checkInactive(ids, signal)
    }
    return { roots: identities.map(identity => identity!.root), superblock, verify }
  }

  close(): Promise<void> {
    return this.#port.release(this.handle)
  }

  #identify(ids: readonly number[], signal: Signal) {
    return this.read(signal, async (superblock, reader) => {
      const identities: (Identity | undefined)[] = []
      for (const id of ids) {
        const root = await findMappingRoot(reader, superblock, id)
        const device = await findDevice(reader, superblock, id)
        if (root === undefined || !device) identities.push(undefined)
        else {
          const { mappedBlocks, transactionId, creationTime } = device
          identities.push({ root, mappedBlocks, transactionId, creationTime })
        }
      }
      return { superblock, identities }
    })
  }

  /** Rejects with `DM_VOLUME_ACTIVE` if one of the volumes is active for writing, in any process. */
  async #checkInactive(ids: readonly number[], signal: Signal): Promise<void> {
    const { port, device } = this.#pool
    for (const active of await port.activeThins(device, signal)) {
      if (!ids.includes(active.id)) continue
      const info = await port.deviceStatus({ device: active.device }, signal).catch(undefinedIf('DM_NOT_FOUND'))
      if (!info || (info.flags & DEVICE_FLAG.readOnly) !== 0) continue
      const text = `volume ${active.id} is active for writing, as ${active.name}: its mappings may change while they are read`
      throw new DmThinError('DM_VOLUME_ACTIVE', text, { device: active.name })
    }
  }
}

function committed<T>(
  port: MachinePort,
  handle: Handle,
  signal: Signal,
  body: (superblock: Superblock, reader: NodeReader) => Promise<T>,
): Promise<T> {
  return readCommitted({ read: blocks => port.metadataRead(handle, blocks, signal) }, { signal }, body)
}

function changedVolume({ name }: PoolContext, id: number): MetadataError {
  const text = `Volume ${id} of pool ${name} was written or deleted while its mappings were read`
  return new MetadataError('DM_METADATA_BUSY', text)
}
