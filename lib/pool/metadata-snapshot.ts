// The metadata snapshot: a root that the kernel keeps unchanged, for programs that read the metadata of a running pool.
import { withOwnSignal } from '../base/own-signal.js'
import { DmThinError } from '../base/errors.js'
import { checkOptions, type SignalOption } from '../base/options.js'
import { message } from '../target/messages.js'
import { commitMessage } from './state/commit-point.js'
import { poolStatusLine, type PoolContext } from './state/context.js'

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
