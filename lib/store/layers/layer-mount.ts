// A layer mounted for the store's own use, under a lease.
import { signalOption, type SignalOption } from '../../base/options.js'
import { undefinedIf } from '../../base/errors.js'
import { mountedAt, mountedInside, mountOf, refuseRaw } from '../engine/temporary-mounts.js'
import { prepare, type PrepareParts } from './prepare.js'
import type { Row } from '../records/row.js'
import { step } from '../common/step-channel.js'

interface Mounting {
  readonly signal?: AbortSignal | undefined
  readonly readOnly?: boolean
  /** For the store's own work alone: see `mountedInside`. */
  readonly inside?: boolean
  /** Throws where the layer is not of the kind that is needed. */
  readonly check?: (row: Row) => void
}

/** Runs `body` while the layer is mounted; of a committed layer a passing view is. */
export async function withLayerMounted<T>(
  parts: PrepareParts,
  key: string,
  body: (folder: string) => Promise<T>,
  { readOnly = false, inside = false, check, signal }: Mounting,
): Promise<T> {
  const { locks, leases, volumes } = parts
  const mounted = inside ? mountedInside : mountedAt
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

/** Of a pool that makes no snapshots any more the layer's own volume is mounted, so that its content can be copied. */
async function withView<T>(
  parts: PrepareParts,
  committed: Row,
  parent: string,
  mounted: typeof mountedAt,
  body: (folder: string) => Promise<T>,
  options: SignalOption,
): Promise<T> {
  const view = await prepare(parts, { kind: 'view', key: null, parent, options }).catch(undefinedIf('DM_POOL_WORN'))
  if (!view) {
    // Its device stays until the layer is removed: another call may be about to mount it.
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
