// containerd's snapshots service, spoken by ourselves: many calls at once take no process each.
import path from 'node:path'
import { credentials, loadPackageDefinition, Metadata, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const PROTO = path.join(__dirname, '../../../lib/snapshotter/snapshots.proto')

export interface MountRow {
  readonly type: string
  readonly source: string
  readonly options: readonly string[]
}

interface Info {
  readonly name: string
  readonly parent: string
  readonly kind: number
  readonly labels: Readonly<Record<string, string>>
}

type Answer = (error: Error | null, answer?: unknown) => void
type Method = (request: object, metadata: Metadata, done?: Answer) => AsyncIterable<{ info: Info[] }>

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

  /** Without the label, which it has by default, containerd would take it for garbage. */
  async prepare(key: string, parent = '', labels: object = { 'containerd.io/gc.root': 'test' }): Promise<MountRow[]> {
    return (await this.ask<{ mounts: MountRow[] }>('prepare', { key, parent, labels })).mounts
  }

  /** The batches of a list, as they come. */
  async list(...filters: string[]): Promise<Info[][]> {
    const batches: Info[][] = []
    const stream = this.#client['list']!({ snapshotter: 'dm-thin', filters }, this.#metadata)
    for await (const { info } of stream) batches.push(info)
    return batches
  }

  ask<T>(call: string, request: object): Promise<T> {
    return new Promise((done, fail) => {
      const answer: Answer = (error, value) => (error ? fail(error) : done(value as T))
      this.#client[call]!({ snapshotter: 'dm-thin', ...request }, this.#metadata, answer)
    })
  }

  close(): void {
    this.#client.close()
  }
}
