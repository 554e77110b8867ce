// The check of a pool's metadata before the pool is started: by the caller's function, or by this library.
import { DmThinError } from '../../base/errors.js'
import { invalid, shown } from '../../base/options.js'
import { examine, refused, type AtRest, type CheckDepth } from './examine-metadata.js'
import { readRecord } from '../state/record.js'

/** The metadata of a pool that is not yet started. Nothing uses it. */
export interface MetadataAtRest {
  /** The device of the metadata: `/dev/loop3`, or the block device itself. */
  readonly path: string
  /**
   * The needs-check flag on disk. The kernel starts such a pool read-only, until `thin_check --clear-needs-check-flag`
   * is run.
   */
  readonly needsCheck: boolean
  /** The signal of the call that starts the pool; undefined if it has none. Abort the check with it. */
  readonly signal: AbortSignal | undefined
}

/**
 * A function that checks the metadata while the locks of the pool are held. The pool is started when it returns or
 * resolves. If it throws or rejects, `ThinPool.open` rejects with `DM_CHECK_FAILED`.
 */
export type MetadataCheck = (metadata: MetadataAtRest) => void | Promise<void>

export function checkHook(check: unknown): MetadataCheck | CheckDepth | undefined {
  if (check === undefined || check === false) return undefined
  if (typeof check === 'function' || check === 'quick' || check === 'full') return check as MetadataCheck | CheckDepth
  throw invalid(`check must be 'quick', 'full', false or a function, but is ${shown(check)}`)
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

/** Rejects with `DM_CHECK_FAILED` if the metadata is not in the state `ok`, or `leaks`, in which the pool works. */
export async function examineBefore(
  depth: CheckDepth,
  pool: { readonly name: string; readonly record: string | undefined },
  metadata: Omit<AtRest, 'record' | 'transactionId'>,
  signal?: AbortSignal,
): Promise<void> {
  const found = pool.record === undefined ? 'missing' : await readRecord(metadata.port, pool.record)
  const record = typeof found === 'object' ? found : undefined
  const examined = await examine({ ...metadata, record, transactionId: undefined }, depth, signal)
  if (examined.state !== 'ok' && examined.state !== 'leaks') throw refused(pool.name, metadata.path, examined)
}
