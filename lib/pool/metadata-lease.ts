// The metadata snapshot that a reader of a running pool holds. The kernel does not record who reserved one, it survives
// its process, and until it is released no data block that it refers to is freed. So a reader holds a lock beside it,
// which ends with the process, and keeps a digest of the reserved superblock: if the lock is free and the digest matches,
// the metadata snapshot was left by a reader that was killed, and the next reader releases it. Others are never released.
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import type { DmThinError } from '../base/errors.js'
import { hasCode, undefinedIf } from '../base/errors.js'
import type { KernelPort } from '../kernel/port/kernel-port.js'
import { METADATA_BLOCK_BYTES } from '../metadata/block-source.js'
import { parseSuperblock } from '../metadata/superblock.js'
import { releaseMetadataSnapshot, reserveMetadataSnapshot } from './metadata-snapshot.js'
import type { PoolContext } from './state/context.js'
import { PoolLock } from './state/locks.js'

const FOLDER = '/run/dm-thin'
/** Pool names have no `~`. */
const keyOf = (pool: PoolContext): string => `~metadata-${pool.name}`
const recordOf = (pool: PoolContext): string => `${FOLDER}/${keyOf(pool)}`

/** A metadata snapshot that this process holds. */
export class MetadataLease {
  readonly #pool: PoolContext
  readonly #root: number
  readonly #unlock: () => void

  private constructor(pool: PoolContext, root: number, unlock: () => void) {
    this.#pool = pool
    this.#root = root
    this.#unlock = unlock
  }

  /**
   * Reserves the metadata snapshot. Waits while another reader of this library holds it. Rejects with
   * `DM_METADATA_SNAPSHOT_HELD` if somebody else does.
   */
  static async take(pool: PoolContext, signal: AbortSignal | undefined): Promise<MetadataLease> {
    const unlock = await new PoolLock(pool.port, signal).take(keyOf(pool))
    try {
      const root = await reserve(pool, signal)
      const lease = new MetadataLease(pool, root, unlock)
      try {
        await pool.port.replaceSmallFile(recordOf(pool), await digestOf(pool.port, pool.metadataPath, root))
      } catch (fault) {
        // Without a record, a later reader cannot recognise the metadata snapshot if this process is killed.
        if (!hasCode(fault, 'DM_RECORD')) throw await lease.#after(fault)
      }
      return lease
    } catch (fault) {
      unlock()
      throw fault
    }
  }

  /** Releases the metadata snapshot; no effect if it was released by other means. */
  async release(): Promise<void> {
    const gone = undefinedIf('DM_METADATA_SNAPSHOT_NOT_HELD', 'DM_NOT_FOUND')
    try {
      await releaseMetadataSnapshot(this.#pool, this.#root).catch(gone)
      await rm(recordOf(this.#pool), { force: true }).catch(() => {})
    } finally {
      this.#unlock()
    }
  }

  async #after(fault: unknown): Promise<unknown> {
    await releaseMetadataSnapshot(this.#pool, this.#root).catch(() => {})
    return fault
  }
}

async function reserve(pool: PoolContext, signal: AbortSignal | undefined): Promise<number> {
  try {
    return (await reserveMetadataSnapshot(pool, signal)).root
  } catch (fault) {
    if (!hasCode(fault, 'DM_METADATA_SNAPSHOT_HELD')) throw fault
    const root = await rootLeftBehind(pool)
    if (root === undefined) throw heldByOthers(pool, fault)
    await releaseMetadataSnapshot(pool, root, signal)
    return (await reserveMetadataSnapshot(pool, signal)).root
  }
}

/** Returns the root of the held metadata snapshot if a reader of this library has left it behind. */
async function rootLeftBehind(pool: PoolContext): Promise<number | undefined> {
  const recorded = await pool.port.readSmallFile(recordOf(pool)).catch(undefinedIf('DM_RECORD'))
  if (!recorded) return undefined
  const [main] = await pool.port.readBlocks(pool.metadataPath, [0], METADATA_BLOCK_BYTES, false)
  const root = parseSuperblock(main!).metadataSnapshotBlock
  return root !== 0 && (await digestOf(pool.port, pool.metadataPath, root)) === recorded ? root : undefined
}

/** Returns the digest of the copy of the superblock in a metadata snapshot. Its roots and clock identify it. */
async function digestOf(port: KernelPort, path: string, root: number): Promise<string> {
  const [block] = await port.readBlocks(path, [root], METADATA_BLOCK_BYTES, false)
  return createHash('sha256').update(block!).digest('hex')
}

function heldByOthers({ name }: PoolContext, cause: DmThinError): DmThinError {
  const text =
    `pool ${name} has a metadata snapshot that this library's readers did not reserve: wait until its owner has ` +
    'released it, read it with `metadataSnapshot`, or release it with `pool.releaseMetadataSnapshot()` if nobody needs it'
  return cause.refined('DM_METADATA_SNAPSHOT_HELD', text, { cause })
}
