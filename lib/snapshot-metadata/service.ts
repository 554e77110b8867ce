// The two calls of the service, as streams of responses.
import type { ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { abortError } from '../base/errors.js'
import { RequestError, statusOf, type Report, type StatusTable } from '../grpc/errors.js'
import { STATUS } from '../grpc/load.js'
import type { AllocatedRequest, DeltaRequest, MetadataResponse } from './messages.js'
import { allocated, changed, type Serving } from './read.js'

const STATUS_OF: StatusTable = {
  ABORT_ERR: STATUS.CANCELLED,
  // For these, the specification has the client make a full backup instead.
  DM_BOOKMARK_INVALID: STATUS.FAILED_PRECONDITION,
  DM_LAYER_STATE: STATUS.FAILED_PRECONDITION,
  DM_SIZE_UNKNOWN: STATUS.FAILED_PRECONDITION,
  DM_UNSUPPORTED: STATUS.FAILED_PRECONDITION,
  DM_VOLUME_ACTIVE: STATUS.FAILED_PRECONDITION,
  // Written or deleted while it was read: the client must not continue.
  DM_METADATA_BUSY: STATUS.ABORTED,
  DM_FILE_MISSING: STATUS.NOT_FOUND,
  DM_LAYER_NOT_FOUND: STATUS.NOT_FOUND,
  DM_VOLUME_NOT_FOUND: STATUS.NOT_FOUND,
  DM_INVALID_ARGUMENT: STATUS.INVALID_ARGUMENT,
  DM_CLOSED: STATUS.UNAVAILABLE,
  DM_NOT_FOUND: STATUS.UNAVAILABLE,
}

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
      call.emit('error', statusOf(STATUS_OF, why, name, this.#report))
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
