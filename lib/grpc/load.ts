// gRPC: two optional peer dependencies, loaded when a server starts.
import type * as grpcJs from '@grpc/grpc-js'
import { dependency } from '../base/optional-dependency.js'

/** Both packages, loaded, and the services of one definition. */
interface LoadedGrpc {
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
