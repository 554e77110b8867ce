// A layer store as a snapshotter of containerd, listening on a Unix socket.
import path from 'node:path'
import type { OpenStoreOptions } from '../store/common/options.js'
import { DmThinError } from '../base/errors.js'
import { loadGrpc } from './grpc.js'
import { isPoolName, Pools, type PoolDevices } from './pools.js'
import { listen } from './server.js'
import { snapshotsService } from './service.js'

/** Where a snapshotter listens, where its stores are, and which pools they use. */
export interface SnapshotterOptions {
  /** Path of the Unix socket. A socket that no server listens on is replaced. */
  readonly address: string
  /** The store of the layers, as `LayerStore.open` takes it. */
  readonly store: Omit<OpenStoreOptions, 'signal'>
  /**
   * More pools below the same socket, by name: `A-Z`, `a-z`, `0-9`, `_` and `-`, at most 32, and not `default`. Each has
   * its records in `pools/NAME` of the store's directory, where later starts find it. A pool without devices has files
   * there. Default none.
   */
  readonly pools?: Readonly<Record<string, PoolDevices>>
  /** Receives errors that no client caused. Default: they are printed to standard error. */
  readonly onError?: (text: string, error: unknown) => void
}

/** A running snapshotter. */
export interface Snapshotter {
  /** Path of the socket, absolute. */
  readonly address: string
  /**
   * Takes no more calls, waits at most a minute for those under way, removes the socket and closes the stores.
   * Containers go on: their devices and mounts stay. Idempotent.
   */
  stop(): Promise<void>
}

/**
 * Opens the store and answers the snapshots service of containerd on a Unix socket that only root may use. Resolves when
 * it listens.
 *
 * Rejects with `DM_STORE_DEPENDENCY` (`@grpc/grpc-js` or `@grpc/proto-loader` is not installed), `DM_BUSY` (another server
 * listens on the address), `DM_INVALID_ARGUMENT` (also if the address exists and is not a socket), and what
 * `LayerStore.open` rejects with.
 */
export async function startSnapshotter(options: SnapshotterOptions): Promise<Snapshotter> {
  const named = new Map(Object.entries(options.pools ?? {}))
  for (const name of named.keys()) {
    if (isPoolName(name)) continue
    throw new DmThinError('DM_INVALID_ARGUMENT', `${JSON.stringify(name)} is not a name for a further pool`)
  }
  const onError = options.onError ?? ((text, error) => console.error(`${text}:`, error))
  const loaded = await loadGrpc()
  const address = path.resolve(options.address)
  const store = { ...options.store, directory: path.resolve(options.store.directory) }
  const pools = await Pools.open(store, named)
  try {
    const server = await listen(loaded, address, snapshotsService(pools, onError))
    let stopped: Promise<void> | undefined
    return { address, stop: () => (stopped ??= server.stop().then(() => pools.close())) }
  } catch (error) {
    await pools.close()
    throw error
  }
}
