// The gRPC server on a Unix socket. It replaces a socket on which no server listens, and completes the calls in progress when
// it stops.
import { once } from 'node:events'
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import path from 'node:path'
import type * as grpcJs from '@grpc/grpc-js'
import { DmThinError } from '../base/errors.js'

/** The default limit for calls in progress when the server stops. That limit of systemd is 90 s. */
const LAST_CALLS_MS = 60_000

interface Listening {
  /** Rejects new calls, waits for the calls in progress, and removes the socket. */
  stop(): Promise<void>
}

/** A service with its implementation. */
export interface Served {
  readonly service: grpcJs.ServiceDefinition
  readonly calls: grpcJs.UntypedServiceImplementation
}

/**
 * Listens on a socket to which only root can connect, because clients see or change the content of a pool. `limitMs`: the
 * limit for calls in progress when the server stops.
 */
export async function listen(
  grpc: typeof grpcJs,
  address: string,
  services: readonly Served[],
  limitMs = LAST_CALLS_MS,
): Promise<Listening> {
  await mkdir(path.dirname(address), { recursive: true, mode: 0o711 })
  await removeStaleSocket(address)
  const server = new grpc.Server()
  for (const { service, calls } of services) server.addService(service, calls)
  await new Promise<void>((done, fail) => {
    server.bindAsync(`unix:${address}`, grpc.ServerCredentials.createInsecure(), error =>
      error ? fail(error) : done(),
    )
  })
  await chmod(address, 0o600)
  return {
    async stop() {
      const limit = setTimeout(() => server.forceShutdown(), limitMs)
      await new Promise<void>(done => server.tryShutdown(() => done()))
      clearTimeout(limit)
    },
  }
}

/** Removes the socket of a server that was killed. Rejects with `DM_BUSY` if a server listens on the socket. */
async function removeStaleSocket(address: string): Promise<void> {
  const found = await lstat(address).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket())
    throw new DmThinError('DM_INVALID_ARGUMENT', `${address} exists and is not a socket`, { device: address })
  const probe = connect(address)
  const answered = await once(probe, 'connect').then(
    () => true,
    () => false,
  )
  probe.destroy()
  if (answered) throw new DmThinError('DM_BUSY', `another server listens on ${address}`, { device: address })
  await unlink(address)
}
