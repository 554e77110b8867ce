// gRPC: two optional peer dependencies, loaded when a server starts, and the status codes of the protocol.
import path from 'node:path'
import type * as grpcJs from '@grpc/grpc-js'
import { dependency } from '../base/optional-dependency.js'

/** The status codes of the snapshotter, with the numbers of gRPC. */
export const STATUS = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
} as const

export type Status = (typeof STATUS)[keyof typeof STATUS]

/** The path of the definition. It is in the folder of the source, because the compiler does not copy it into `dist`. */
const PROTO = path.join(__dirname, '../../lib/snapshotter/snapshots.proto')
const SERVICE = 'containerd.services.snapshots.v1.Snapshots'

export interface LoadedGrpc {
  readonly grpc: typeof grpcJs
  readonly service: grpcJs.ServiceDefinition
}

/** Loads both packages and the definition of the service. Rejects with `DM_DEPENDENCY` if one is missing. */
export async function loadGrpc(): Promise<LoadedGrpc> {
  const [grpc, loader] = await Promise.all([
    dependency('@grpc/grpc-js', '^1.14', () => import('@grpc/grpc-js')),
    dependency('@grpc/proto-loader', '^0.8', () => import('@grpc/proto-loader')),
  ])
  const definition = loader.loadSync(PROTO, { keepCase: true, longs: String, enums: Number, defaults: true })
  return { grpc, service: definition[SERVICE] as grpcJs.ServiceDefinition }
}
