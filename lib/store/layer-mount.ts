// A layer mounted for the store's own use, under a lease.
import type { SignalOption } from '../names.js'
import type { StoreContext } from './context.js'
import { mountedAt, mountOf, refuseRaw } from './mounted.js'
import { prepare } from './prepare.js'
import type { Row } from './records/row.js'
import { step } from './steps.js'

interface Mounting {
  readonly signal?: AbortSignal | undefined
  readonly readOnly?: boolean
  /** Throws where the layer is not of the kind that is needed. */
  readonly check?: (row: Row) => void
}

/** Runs `body` while the layer is mounted; of a committed layer a passing view is. */
export async function withLayerMounted<T>(
  store: StoreContext,
  key: string,
  body: (folder: string) => Promise<T>,
  { readOnly = false, check, signal }: Mounting,
): Promise<T> {
  const { locks, leases, volumes } = store
  const lease = await locks.run([key], () => leases.take(key, 'use', check))
  try {
    const { row } = lease
    refuseRaw(row)
    if (row.kind === 'committed') return await withView(store, key, body, signal ? { signal } : {})
    step('mounted.activate', key)
    const volume = await volumes.active(row, signal)
    return await mountedAt(store, mountOf(row, volume.path, readOnly || row.kind === 'view'), body, signal)
  } finally {
    await lease.release()
  }
}

async function withView<T>(
  store: StoreContext,
  parent: string,
  body: (folder: string) => Promise<T>,
  options: SignalOption,
): Promise<T> {
  const { row, path } = await prepare(store, { kind: 'view', key: null, parent, options })
  try {
    return await mountedAt(store, mountOf(row, path), body, options.signal)
  } finally {
    await store.removals.abandon([row])
  }
}
