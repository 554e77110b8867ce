// The caller's own check of a pool's metadata, before the pool is started.
import { DmThinError } from '../../base/errors.js'
import { invalid, shown } from '../../base/options.js'

/** The metadata of a pool that is about to be started. Nothing uses it yet. */
export interface MetadataAtRest {
  /** The device that the metadata is on: `/dev/loop3`, or the block device itself. */
  readonly path: string
  /** The flag on disk. The kernel starts such a pool read-only, until `thin_check --clear-needs-check-flag`. */
  readonly needsCheck: boolean
  readonly signal: AbortSignal | undefined
}

/** Runs under the locks of the pool. Resolves or returns to have the pool started. What it throws ends `ThinPool.open` with `DM_CHECK_FAILED`. */
export type MetadataCheck = (metadata: MetadataAtRest) => void | Promise<void>

export function checkHook(check: unknown): MetadataCheck | undefined {
  if (check === undefined || typeof check === 'function') return check as MetadataCheck | undefined
  throw invalid(`check must be a function, but is ${shown(check)}`)
}

export async function runCheck(check: MetadataCheck, pool: string, metadata: MetadataAtRest): Promise<void> {
  try {
    await check(metadata)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    const text = `pool ${pool} was not started: the check of its metadata on ${metadata.path} failed: ${why}`
    throw new DmThinError('DM_CHECK_FAILED', text, { device: metadata.path, cause })
  }
}
