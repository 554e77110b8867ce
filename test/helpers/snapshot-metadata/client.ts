// A client of CSI's snapshot metadata that checks each response against the specification.
import path from 'node:path'
import {
  credentials,
  loadPackageDefinition,
  type CallOptions,
  type ClientReadableStream,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const PROTO = path.join(__dirname, 'specification.proto')
export const FIXED_LENGTH = 1
export const VARIABLE_LENGTH = 2

export interface Entry {
  readonly byte_offset: number
  readonly size_bytes: number
}

export interface Response {
  readonly block_metadata_type: number
  readonly volume_capacity_bytes: number
  readonly block_metadata: readonly Entry[]
}

export interface Position {
  readonly starting_offset?: number
  readonly max_results?: number
  readonly secrets?: Readonly<Record<string, string>>
}

type Stream = ClientReadableStream<Response>
type Service = Record<string, (...args: unknown[]) => Stream> & { close(): void }

/** The base of a delta; undefined for the blocks that a snapshot has. */
export type Base = string | undefined

export class CsiClient {
  readonly #metadata: Service
  readonly #identity: Service

  constructor(socket: string) {
    const loaded = loadPackageDefinition(loadSync(PROTO, { keepCase: true, longs: Number, defaults: true }))
    const { csi } = loaded as unknown as {
      csi: { v1: { SnapshotMetadata: ServiceClientConstructor; Identity: ServiceClientConstructor } }
    }
    const made = (Client: ServiceClientConstructor) =>
      new Client(`unix:${socket}`, credentials.createInsecure()) as unknown as Service
    this.#metadata = made(csi.v1.SnapshotMetadata)
    this.#identity = made(csi.v1.Identity)
  }

  /** Begins a call, and checks nothing. */
  stream(base: Base, target: string, position: Position = {}, options: CallOptions = {}): Stream {
    const [call, ids] =
      base === undefined
        ? ['getMetadataAllocated', { snapshot_id: target }]
        : ['getMetadataDelta', { base_snapshot_id: base, target_snapshot_id: target }]
    return this.#metadata[call]!({ ...(ids as object), ...position }, options)
  }

  /** Yields the responses, each checked against the specification. */
  async *responses(base: Base, target: string, position: Position = {}): AsyncGenerator<Response> {
    const stream = this.stream(base, target, position)
    const check = checker(position)
    try {
      for await (const response of stream as AsyncIterable<Response>) {
        check(response)
        yield response
      }
    } finally {
      stream.cancel()
    }
  }

  /** Returns the first response of a call, and cancels the call. */
  async first(base: Base, target: string, position: Position = {}): Promise<Response> {
    for await (const response of this.responses(base, target, position)) return response
    throw new Error('the call has no response')
  }

  /** Returns all entries of a call that is begun again after each response, at the offset that it has reached. */
  async entriesWithRestarts(base: Base, target: string, max_results: number): Promise<Entry[]> {
    const entries: Entry[] = []
    for (let starting_offset = 0; ;) {
      const { block_metadata } = await this.first(base, target, { starting_offset, max_results })
      const last = block_metadata.at(-1)
      if (!last) return entries
      entries.push(...block_metadata)
      starting_offset = last.byte_offset + last.size_bytes
    }
  }

  /** Returns all entries of a call. */
  async entries(base: Base, target: string, position: Position = {}): Promise<Entry[]> {
    const entries: Entry[] = []
    for await (const { block_metadata } of this.responses(base, target, position)) entries.push(...block_metadata)
    return entries
  }

  /** Returns the status of a call that must fail. */
  async failure(base: Base, target: string, position: Position = {}): Promise<{ code: number; details: string }> {
    const outcome = await this.entries(base, target, position).then(
      entries => new Error(`it succeeded, with ${entries.length} entries`),
      (fault: ServiceError) => fault,
    )
    if (!('code' in outcome)) throw outcome
    return { code: outcome.code, details: outcome.details }
  }

  /** Calls the identity service. */
  ask<T>(call: 'getPluginInfo' | 'getPluginCapabilities' | 'probe'): Promise<T> {
    return new Promise((done, fail) => {
      this.#identity[call]!({}, (error: Error | null, answer: T) => (error ? fail(error) : done(answer)))
    })
  }

  close(): void {
    this.#metadata.close()
    this.#identity.close()
  }
}

function checker({ starting_offset = 0, max_results = 0 }: Position): (response: Response) => void {
  let first: Response | undefined
  let last: Entry | undefined
  const expectThat = (is: boolean, rule: string, what: unknown): void => {
    if (!is) throw new Error(`${rule}: ${JSON.stringify(what)}`)
  }
  return response => {
    const { block_metadata_type: type, volume_capacity_bytes: capacity, block_metadata } = response
    first ??= response
    expectThat(type === FIXED_LENGTH || type === VARIABLE_LENGTH, 'the type is known', type)
    expectThat(type === first.block_metadata_type, 'the type is the same in all responses', type)
    expectThat(capacity === first.volume_capacity_bytes, 'the capacity is the same in all responses', capacity)
    expectThat(max_results === 0 || block_metadata.length <= max_results, 'max_results', block_metadata.length)
    for (const entry of block_metadata) {
      const { byte_offset, size_bytes } = entry
      const end = byte_offset + size_bytes
      expectThat(size_bytes > 0, 'size_bytes is positive', entry)
      expectThat(byte_offset >= 0 && end <= capacity, 'an entry is within the volume', entry)
      expectThat(starting_offset < end, 'no entry ends before the starting offset', entry)
      if (last)
        expectThat(last.byte_offset + last.size_bytes <= byte_offset, 'ascending, without overlap', [last, entry])
      if (last && type === FIXED_LENGTH) expectThat(last.size_bytes === size_bytes, 'a fixed length', [last, entry])
      last = entry
    }
  }
}

/** Returns the entries as the blocks that they contain, which must be whole but for the last one of the volume. */
export function blocksIn(entries: readonly Entry[], blockBytes: number): number[] {
  return entries.flatMap(({ byte_offset, size_bytes }) => {
    if (byte_offset % blockBytes !== 0) throw new Error(`an entry begins within a block: ${byte_offset}`)
    const count = Math.ceil(size_bytes / blockBytes)
    return Array.from({ length: count }, (_, at) => byte_offset / blockBytes + at)
  })
}
