// The gRPC server on a Unix socket. It replaces a socket on which no server listens, and completes the calls in progress when
// it stops.
import { once } from 'node:events'
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import path from 'node:path'
import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { DmThinError } from '../base/errors.js'
import type { LoadedGrpc } from './grpc.js'

/** The limit for calls in progress when the server stops. The default limit of systemd is 90 s. */
const LAST_CALLS_MS = 60_000

export interface Listening {
  /** Rejects new calls, waits for the calls in progress, and removes the socket. */
  stop(): Promise<void>
}

/** Listens on a socket to which only root can connect, because a client can delete every layer. */
export async function listen(
  { grpc, service }: LoadedGrpc,
  address: string,
  calls: UntypedServiceImplementation,
): Promise<Listening> {
  await mkdir(path.dirname(address), { recursive: true, mode: 0o711 })
  await removeStaleSocket(address)
  const server = new grpc.Server()
  server.addService(service, calls)
  await new Promise<void>((done, fail) => {
    server.bindAsync(`unix:${address}`, grpc.ServerCredentials.createInsecure(), error =>
      error ? fail(error) : done(),
    )
  })
  await chmod(address, 0o600)
  return {
    async stop() {
      const limit = setTimeout(() => server.forceShutdown(), LAST_CALLS_MS)
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
