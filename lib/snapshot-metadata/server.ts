// The server of snapshot metadata on a Unix socket. Public types are in files whose declarations do not name gRPC, which
// users need not have.
import path from 'node:path'
import { checkOptions, checkPath, checkBoolean, invalid, shown } from '../base/options.js'
import { loadGrpc } from '../grpc/load.js'
import { listen, type Served } from '../grpc/server.js'
import type { Report } from '../grpc/statuses.js'
import type { SnapshotResolver } from './resolvers.js'
import { identityService, SnapshotMetadataService } from './service.js'

/** The path of the definition. It is in the folder of the source, because the compiler does not copy it into `dist`. */
const PROTO = path.join(__dirname, '../../lib/snapshot-metadata/csi.proto')
/** The limit for the statuses of the calls that a stop ends: a client that does not read does not delay it longer. */
const LAST_STATUSES_MS = 3000

/** The identity of a CSI driver. */
export interface CsiDriver {
  /** The name of the driver, such as `thin.example.com`: at most 63 letters, digits, dashes and dots. */
  readonly name: string
  /** The version of the driver, which clients print. */
  readonly version: string
}

/** Options of `serveSnapshotMetadata`: its socket and the snapshots. */
export interface SnapshotMetadataOptions {
  /** The path of the Unix socket. A socket on which no server listens is replaced. */
  readonly address: string
  /** The resolver of the ids of requests: `poolSnapshots`, `storeSnapshots`, or one of your own. */
  readonly snapshots: SnapshotResolver
  /**
   * True: responses of the type `FIXED_LENGTH`, with an entry for each data block of the pool. False: `VARIABLE_LENGTH`, with
   * an entry for blocks that follow each other. A volume whose last block is shorter always has `VARIABLE_LENGTH`. Default
   * false.
   */
  readonly fixedLength?: boolean
  /** The driver of the identity service, which Kubernetes' sidecar calls first. Default: no identity service. */
  readonly driver?: CsiDriver
  /** Called with errors that no client caused. Default: prints them to standard error. */
  readonly onError?: (text: string, error: unknown) => void
}

/** A running server of snapshot metadata. */
export interface SnapshotMetadataServer {
  /** The absolute path of the socket. */
  readonly address: string
  /**
   * Rejects new calls, ends those in progress with the status `UNAVAILABLE`, so that clients continue later, and removes the
   * socket. Pools and stores stay open. Idempotent.
   */
  stop(): Promise<void>
}

/**
 * Serves the snapshot metadata service of CSI on a Unix socket that only root can use. Resolves when the server listens. Any
 * number of calls run concurrently; each holds a few MiB.
 *
 * Rejects with `DM_DEPENDENCY` (`@grpc/grpc-js` or `@grpc/proto-loader` is not installed), `DM_BUSY` (another server listens on
 * the address), `DM_INVALID_ARGUMENT` (also if the address exists and is not a socket).
 */
export async function serveSnapshotMetadata(options: SnapshotMetadataOptions): Promise<SnapshotMetadataServer> {
  checkOptions(options, ['address', 'snapshots', 'fixedLength', 'driver', 'onError'], 'serveSnapshotMetadata')
  const address = path.resolve(checkPath('address', options.address))
  const fixedLength = checkBoolean('fixedLength', options.fixedLength)
  const driver = options.driver === undefined ? undefined : checkDriver(options.driver)
  const snapshots = checkResolver(options.snapshots)
  const report: Report = options.onError ?? ((text, error) => console.error(`${text}:`, error))
  const { grpc, service } = await loadGrpc(PROTO)
  const metadata = new SnapshotMetadataService({ snapshots, fixedLength }, report)
  const services: Served[] = [{ service: service('csi.v1.SnapshotMetadata'), calls: metadata.calls }]
  if (driver) services.push({ service: service('csi.v1.Identity'), calls: identityService(driver) })
  const server = await listen(grpc, address, services, LAST_STATUSES_MS)
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => {
    metadata.stop()
    return server.stop()
  }
  return { address, stop: () => (stopped ??= stop()) }
}

function checkResolver(snapshots: SnapshotResolver): SnapshotResolver {
  if (typeof (snapshots as Partial<SnapshotResolver> | undefined)?.snapshot === 'function') return snapshots
  throw invalid('snapshots must be a resolver: poolSnapshots, storeSnapshots, or an object with snapshot()')
}

function checkDriver(driver: CsiDriver): CsiDriver {
  checkOptions(driver, ['name', 'version'], 'driver')
  const { name, version } = driver
  if (typeof name !== 'string' || !/^(?=.{1,63}$)[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?$/.test(name)) {
    throw invalid(`driver.name must be a name such as thin.example.com, but is ${shown(name)}`)
  }
  if (typeof version !== 'string' || version === '') {
    throw invalid(`driver.version must be a non-empty string, but is ${shown(version)}`)
  }
  return driver
}
