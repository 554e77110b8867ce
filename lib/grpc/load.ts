// gRPC: two optional peer dependencies, loaded when a server starts, and the status codes of the protocol.
import type * as grpcJs from '@grpc/grpc-js'
import { dependency } from '../base/optional-dependency.js'

/** The status codes of the servers, with the numbers of gRPC. */
export const STATUS = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
} as const

export type Status = (typeof STATUS)[keyof typeof STATUS]

/** Both packages, loaded, and the services of one definition. */
export interface LoadedGrpc {
  readonly grpc: typeof grpcJs
  /** Returns a service by its full name, which the definition must have. */
  readonly service: (name: string) => grpcJs.ServiceDefinition
}

/**
 * Loads both packages and the definition in `file`. Numbers of 64 bits are strings in messages. Rejects with
 * `DM_DEPENDENCY` if a package is missing.
 */
export async function loadGrpc(file: string): Promise<LoadedGrpc> {
  const [grpc, loader] = await Promise.all([
    dependency('@grpc/grpc-js', '^1.14', () => import('@grpc/grpc-js')),
    dependency('@grpc/proto-loader', '^0.8', () => import('@grpc/proto-loader')),
  ])
  const definition = loader.loadSync(file, { keepCase: true, longs: String, enums: Number, defaults: true })
  return { grpc, service: name => definition[name] as grpcJs.ServiceDefinition }
}
