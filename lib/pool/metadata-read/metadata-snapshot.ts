// The metadata snapshot that a reader of a running pool holds. The kernel does not record who reserved one, it survives
// its process, and until it is released no data block that it refers to is freed. So a reader holds a lock beside it,
// which ends with the process, and keeps a digest of the reserved superblock: if the lock is free and the digest matches,
// the metadata snapshot was left by a reader that was killed, and the next reader releases it. Others are never released.
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { DmThinError, hasCode, undefinedIf } from '../../base/errors.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import { METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import { parseSuperblock } from '../../metadata/superblock.js'
import { type PoolContext, poolStatusLine } from '../state/context.js'
import { PoolLock } from '../state/locks.js'
import { withOwnSignal } from '../../base/own-signal.js'
import { type SignalOption, checkOptions } from '../../base/options.js'
import { message } from '../../target/messages.js'
import { commitMessage } from '../state/commit-point.js'

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

// The metadata snapshot: a root that the kernel keeps unchanged, for programs that read the metadata of a running pool.

/** A metadata snapshot that this object reserved. `await using` releases it. */
export interface MetadataSnapshot extends AsyncDisposable {
  /** The block of the root on the metadata device, in units of 4096 bytes: `heldMetadataRoot` of the status. */
  readonly root: number
  /**
   * Releases the metadata snapshot, which frees the blocks that only it kept. Repeated calls have no effect. Rejects
   * with `DM_METADATA_SNAPSHOT_NOT_HELD` if it was released by other means, such as another program.
   */
  release(options?: SignalOption): Promise<void>
}

export async function reserveMetadataSnapshot(context: PoolContext, signal?: AbortSignal): Promise<MetadataSnapshot> {
  await commitMessage(context, message.reserveMetadataSnap(), signal)
  const line = await poolStatusLine(context)
  if (!('transactionId' in line)) {
    const text = `pool ${context.name} failed right after its metadata snapshot was reserved`
    throw new DmThinError('DM_POOL_FAILED', text, { device: context.name })
  }
  if (line.heldMetadataRoot !== null) return heldBy(context, line.heldMetadataRoot)
  const text = `pool ${context.name}: the metadata snapshot was released by somebody else at once`
  throw new DmThinError('DM_METADATA_SNAPSHOT_NOT_HELD', text, { device: context.name })
}

/** Releases the metadata snapshot. With a `root`: only if it is that one. */
export async function releaseMetadataSnapshot(
  context: PoolContext,
  root?: number,
  signal?: AbortSignal,
): Promise<void> {
  if (root !== undefined) await checkRoot(context, root)
  await commitMessage(context, message.releaseMetadataSnap(), signal)
}

function heldBy(context: PoolContext, root: number): MetadataSnapshot {
  let released: Promise<void> | undefined
  const release = (signal?: AbortSignal): Promise<void> => {
    released ??= context.pending
      .run(() => releaseMetadataSnapshot(context, root))
      .catch((fault: unknown) => {
        released = undefined // allow another attempt
        throw fault
      })
    return withOwnSignal(released, signal)
  }
  return {
    root,
    release: async (options = {}) => {
      checkOptions(options, ['signal'], 'release')
      await release(options.signal)
    },
    [Symbol.asyncDispose]: () => release(),
  }
}

/**
 * Checks that the held metadata snapshot is this one. The kernel releases any, also one that was reserved since by
 * another call.
 */
async function checkRoot(context: PoolContext, root: number): Promise<void> {
  const line = await poolStatusLine(context)
  if (!('transactionId' in line) || line.heldMetadataRoot === root) return
  const now = line.heldMetadataRoot === null ? 'none is held' : `another one is held at block ${line.heldMetadataRoot}`
  const text = `pool ${context.name}: the metadata snapshot at block ${root} was released by another call; ${now}`
  throw new DmThinError('DM_METADATA_SNAPSHOT_NOT_HELD', text, { device: context.name })
}
