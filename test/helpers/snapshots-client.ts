// containerd's snapshots service, spoken by ourselves: many calls at once take no process each.
import path from 'node:path'
import { credentials, loadPackageDefinition, Metadata, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const PROTO = path.join(__dirname, '../../examples/containerd-snapshotter/snapshots.proto')

export interface MountRow {
  readonly type: string
  readonly source: string
  readonly options: readonly string[]
}

type Method = (request: object, metadata: Metadata, done: (error: Error | null, answer?: unknown) => void) => void

export class SnapshotsClient {
  readonly #client: Record<string, Method> & { close(): void }
  readonly #metadata = new Metadata()

  /** `socket`: containerd's, or that of a snapshotter, which does not look at the namespace. */
  constructor(socket: string, namespace = 'default') {
    const loaded = loadPackageDefinition(loadSync(PROTO, { keepCase: true, longs: Number, defaults: true }))
    const { containerd } = loaded as unknown as {
      containerd: { services: { snapshots: { v1: { Snapshots: ServiceClientConstructor } } } }
    }
    const Service = containerd.services.snapshots.v1.Snapshots
    this.#client = new Service(`unix:${socket}`, credentials.createInsecure()) as never
    this.#metadata.set('containerd-namespace', namespace)
  }

  async prepare(key: string, parent: string): Promise<MountRow[]> {
    // Without the label containerd takes it for garbage.
    const labels = { 'containerd.io/gc.root': 'test' }
    return (await this.#ask<{ mounts: MountRow[] }>('prepare', { key, parent, labels })).mounts
  }

  async remove(key: string): Promise<void> {
    await this.#ask('remove', { key })
  }

  async cleanup(): Promise<void> {
    await this.#ask('cleanup', {})
  }

  close(): void {
    this.#client.close()
  }

  #ask<T>(call: string, request: object): Promise<T> {
    return new Promise((done, fail) => {
      const answer = (error: Error | null, value?: unknown) => (error ? fail(error) : done(value as T))
      this.#client[call]!({ snapshotter: 'dm-thin', ...request }, this.#metadata, answer)
    })
  }
}
