// gRPC on a Unix socket: takes the place of a socket that nobody listens on, and ends without cutting a call off.
import { once } from 'node:events'
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadPackageDefinition, Server, ServerCredentials, type ServiceClientConstructor } from '@grpc/grpc-js'
import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const PROTO = fileURLToPath(new URL('snapshots.proto', import.meta.url))
const SERVICE = 'containerd.services.snapshots.v1.Snapshots'
/** For the calls that are under way at the end. systemd gives 90 s by default. */
const LAST_CALLS_MS = 60_000

export function loadService(): ServiceClientConstructor {
  const definition = loadSync(PROTO, { keepCase: true, longs: String, enums: Number, defaults: true })
  const loaded: unknown = SERVICE.split('.').reduce<Record<string, unknown>>(
    (level, name) => level[name] as Record<string, unknown>,
    loadPackageDefinition(definition),
  )
  return loaded as ServiceClientConstructor
}

export interface Listening {
  /** Takes no more calls, waits for those that run, and removes the socket. */
  stop(): Promise<void>
}

/** Only root may connect: whoever may, rules over all layers. */
export async function listen(address: string, service: UntypedServiceImplementation): Promise<Listening> {
  await mkdir(path.dirname(address), { recursive: true, mode: 0o711 })
  await makeRoom(address)
  const server = new Server()
  server.addService(loadService().service, service)
  await new Promise<void>((done, fail) => {
    server.bindAsync(`unix:${address}`, ServerCredentials.createInsecure(), error => (error ? fail(error) : done()))
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

/** A killed server leaves its socket behind; one that answers is not taken from its owner. */
async function makeRoom(address: string): Promise<void> {
  const found = await lstat(address).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket()) throw new Error(`${address} exists and is no socket`)
  const probe = connect(address)
  const answered = await once(probe, 'connect').then(
    () => true,
    () => false,
  )
  probe.destroy()
  if (answered) throw new Error(`another server listens on ${address}`)
  await unlink(address)
}
