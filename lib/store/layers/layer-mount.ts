// Mounts of layers while a call of the store runs, under a lease.
import { signalOption, type SignalOption } from '../../base/options.js'
import { undefinedIf } from '../../base/errors.js'
import { withTemporaryMount, withPrivateMount, mountOf, refuseRaw } from '../engine/temporary-mounts.js'
import { prepare, type PrepareParts } from './prepare.js'
import type { Row } from '../records/row.js'
import { step } from '../common/step-channel.js'

interface Mounting {
  readonly signal?: AbortSignal | undefined
  readonly readOnly?: boolean
  /** True if only this process uses the mount: see `withPrivateMount`. */
  readonly inside?: boolean
  /** A function that throws if the layer is not of the required kind. */
  readonly check?: (row: Row) => void
}

/** Runs `body` while the layer is mounted. For a committed layer, a temporary view is mounted. */
export async function withLayerMounted<T>(
  parts: PrepareParts,
  key: string,
  body: (folder: string) => Promise<T>,
  { readOnly = false, inside = false, check, signal }: Mounting,
): Promise<T> {
  const { locks, leases, volumes } = parts
  const mounted = inside ? withPrivateMount : withTemporaryMount
  const lease = await locks.run([key], () => leases.take(key, 'use', check))
  try {
    const { row } = lease
    refuseRaw(row)
    if (row.kind === 'committed') return await withView(parts, row, key, mounted, body, signalOption(signal))
    step('mounted.activate', key)
    const volume = await volumes.active(row, signal)
    return await mounted(parts, mountOf(row, volume.path, readOnly || row.kind === 'view'), body, signal)
  } finally {
    await lease.release()
  }
}

/**
 * Mounts a temporary view of a committed layer. If the pool cannot create further snapshots, mounts the layer's own volume
 * read-only, so that its content can still be copied.
 */
async function withView<T>(
  parts: PrepareParts,
  committed: Row,
  parent: string,
  mounted: typeof withTemporaryMount,
  body: (folder: string) => Promise<T>,
  options: SignalOption,
): Promise<T> {
  const view = await prepare(parts, { kind: 'view', key: null, parent, options }).catch(undefinedIf('DM_POOL_WORN'))
  if (!view) {
    // The device stays until the layer is removed, because another call may be about to mount it.
    const volume = await parts.volumes.active({ ...committed, kind: 'view' }, options.signal)
    return mounted(parts, mountOf(committed, volume.path, true), body, options.signal)
  }
  const { row, path } = view
  try {
    return await mounted(parts, mountOf(row, path), body, options.signal)
  } finally {
    await parts.removals.abandon([row])
  }
}
