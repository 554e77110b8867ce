// The command dm-thin snapshot-metadata.
import { once } from 'node:events'
import type { Command } from 'commander'
import type { SnapshotResolver } from '../entry/snapshot-metadata.js'
import { action, subcommand, usageError, type Call } from './common/call.js'
import { recordOf } from './common/pool-sources.js'
import { withStore } from './open-store.js'
import { withPool } from './pool.js'

interface SnapshotMetadataCommandOptions {
  readonly address: string
  readonly pool?: string
  readonly record?: string
  readonly store?: string
  readonly bookmarks?: string
  readonly fixedLength?: boolean
  readonly driverName?: string
  readonly driverVersion?: string
}

export function addSnapshotMetadataCommand(program: Command): void {
  subcommand(
    program,
    'snapshot-metadata',
    'Answer Kubernetes about changed blocks, from a pool or a layer store, until SIGTERM or SIGINT.',
    'dm-thin snapshot-metadata --pool tank --record /var/lib/tank.json --address /csi/csi.sock',
  )
    .option('--address <path>', 'the Unix socket', '/run/dm-thin/snapshot-metadata.sock')
    .option('--pool <name>', 'a running pool, whose volumes are the snapshots')
    .option('--record <file>', 'record beside the pool, with the sizes of inactive volumes')
    .option('--store <directory>', 'a layer store, whose committed layers are the snapshots')
    .option('--bookmarks <directory>', 'bookmarks of deleted snapshots, as files ID.bookmark')
    .option('--fixed-length', 'an entry for each block; default: one for blocks that follow each other')
    .option('--driver-name <name>', "name of the CSI driver, for Kubernetes' sidecar; default: no identity service")
    .option('--driver-version <version>', 'its version')
    .action(action(serve))
}

async function serve(call: Call, options: SnapshotMetadataCommandOptions): Promise<void> {
  const { pool: name, store: directory, record, driverName, driverVersion } = options
  if ((name === undefined) === (directory === undefined)) throw usageError('give --pool or --store, and not both')
  if (record !== undefined && name === undefined) throw usageError('--record goes with --pool')
  if ((driverName === undefined) !== (driverVersion === undefined)) {
    throw usageError('--driver-name and --driver-version go together')
  }
  const { poolSnapshots, storeSnapshots } = await import('../entry/snapshot-metadata.js')
  const found = options.bookmarks === undefined ? {} : { bookmarks: options.bookmarks }
  if (directory !== undefined) {
    await withStore(call, directory, store => listen(call, options, storeSnapshots(store, found)))
  } else {
    const pool = { name: name!, repair: false, ...recordOf(options) }
    await withPool(call, pool, opened => listen(call, options, poolSnapshots(opened, found)))
  }
}

async function listen(
  call: Call,
  { address, fixedLength = false, driverName, driverVersion }: SnapshotMetadataCommandOptions,
  snapshots: SnapshotResolver,
): Promise<void> {
  const { serveSnapshotMetadata } = await import('../entry/snapshot-metadata.js')
  const server = await serveSnapshotMetadata({
    address,
    snapshots,
    fixedLength,
    ...(driverName !== undefined && { driver: { name: driverName, version: driverVersion! } }),
    onError: (text, error) => console.error(`${text}:`, error),
  })
  call.print({ address: server.address }, () => `listening on ${server.address}`)
  if (!call.signal.aborted) await once(call.signal, 'abort')
  await server.stop()
}
