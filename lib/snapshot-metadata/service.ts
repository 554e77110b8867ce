// The two services: the calls of snapshot metadata, as streams of responses, and the identity of the CSI driver.
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { abortError } from '../base/errors.js'
import { RequestError, SNAPSHOT_METADATA, STATUS, statusOf, type Report } from '../grpc/statuses.js'
import type { AllocatedRequest, DeltaRequest, MetadataResponse } from './block-responses.js'
import { allocated, changed, type Serving } from './read.js'

type Call<Request> = ServerWritableStream<Request, MetadataResponse>
type Answer<Request> = (serving: Serving, request: Request, signal: AbortSignal) => AsyncIterable<MetadataResponse>

/** The implementation of the service, and its calls in progress. */
export class SnapshotMetadataService {
  readonly #serving: Serving
  readonly #report: Report
  readonly #running = new Set<AbortController>()
  #isStopped = false
  readonly calls: UntypedServiceImplementation

  constructor(serving: Serving, report: Report) {
    this.#serving = serving
    this.#report = report
    this.calls = {
      getMetadataAllocated: (call: Call<AllocatedRequest>) =>
        void this.#stream('GetMetadataAllocated', call, allocated),
      getMetadataDelta: (call: Call<DeltaRequest>) => void this.#stream('GetMetadataDelta', call, changed),
    }
  }

  /** Ends the calls in progress with `UNAVAILABLE`, which tells clients to continue later. */
  stop(): void {
    this.#isStopped = true
    for (const abort of this.#running) abort.abort()
  }

  /** Sends the responses, at the pace at which the client receives them. */
  async #stream<Request>(name: string, call: Call<Request>, answer: Answer<Request>): Promise<void> {
    const abort = new AbortController()
    call.on('cancelled', () => abort.abort())
    this.#running.add(abort)
    try {
      if (this.#isStopped) throw new RequestError(STATUS.UNAVAILABLE, 'the server stops')
      for await (const response of answer(this.#serving, call.request, abort.signal)) {
        if (!call.write(response)) await drained(call, abort.signal)
      }
      call.end()
    } catch (error) {
      const why = this.#isStopped ? new RequestError(STATUS.UNAVAILABLE, 'the server stops') : error
      call.emit('error', statusOf(SNAPSHOT_METADATA, why, name, this.#report))
    } finally {
      this.#running.delete(abort)
    }
  }
}

/** Waits until the client has received the responses. Rejects with `ABORT_ERR`. */
function drained(call: Call<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    const settle = (body: () => void) => () => {
      call.off('drain', received)
      signal.removeEventListener('abort', aborted)
      body()
    }
    const received = settle(done)
    const aborted = settle(() => fail(abortError(signal)))
    call.on('drain', received)
    signal.addEventListener('abort', aborted)
    if (signal.aborted) aborted()
  })
}

/** The type of the service in the capabilities of a plugin. */
const SNAPSHOT_METADATA_SERVICE = 4

/**
 * Returns the calls of the identity service of a driver that serves snapshot metadata. A sidecar calls them before other
 * services of the socket.
 */
export function identityService({ name, version }: { name: string; version: string }): UntypedServiceImplementation {
  const reply =
    (response: object) =>
    (_: ServerUnaryCall<object, object>, send: sendUnaryData<object>): void =>
      send(null, response)
  return {
    getPluginInfo: reply({ name, vendor_version: version }),
    getPluginCapabilities: reply({ capabilities: [{ service: { type: SNAPSHOT_METADATA_SERVICE } }] }),
    probe: reply({ ready: { value: true } }),
  }
}
