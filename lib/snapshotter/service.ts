// The ten calls of containerd's snapshots service, implemented with the layer store of a pool.
import type {
  sendUnaryData,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceError,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { DmThinError } from '../base/errors.js'
import { SNAPSHOTTER, statusOf, type Report } from '../grpc/statuses.js'
import { parseFilters } from '../store/filter/filter.js'
import { changeOf, kept, diskOf } from './labels.js'
import {
  infoOf,
  mountsOf,
  usageOf,
  type CommitRequest,
  type Info,
  type KeyRequest,
  type ListRequest,
  type NewRequest,
  type UpdateRequest,
} from './snapshot-messages.js'
import type { Pools } from './pools.js'

/** The number of layers in one message, as in containerd's own service. */
const BATCH = 100

export function snapshotsService(pools: Pools, report: Report): UntypedServiceImplementation {
  const unary = unaryWith(report)
  return {
    prepare: unary('prepare', async ({ key, parent, labels }: NewRequest, signal) => {
      const options = { labels: kept(labels), ...diskOf(labels, parent), signal }
      return pools.make(key, parent, labels, async store =>
        mountsOf((await store.prepare(key, parent, options)).mounts),
      )
    }),
    view: unary('view', async ({ key, parent, labels }: NewRequest, signal) => {
      const options = { labels: kept(labels), ...(parent === '' && diskOf(labels, parent)), signal }
      return pools.make(key, parent, labels, async store => mountsOf((await store.view(key, parent, options)).mounts))
    }),
    mounts: unary('mounts', async ({ key }: KeyRequest) => mountsOf(await (await pools.having(key)).mounts(key))),
    commit: unary('commit', async ({ name, key, labels }: CommitRequest) => {
      await pools.named(name, await pools.having(key), store => store.commit(name, key, { labels: kept(labels) }))
      return {}
    }),
    remove: unary('remove', async ({ key }: KeyRequest) => {
      await (await pools.having(key)).remove(key)
      return {}
    }),
    stat: unary('stat', async ({ key }: KeyRequest) => ({ info: infoOf(await (await pools.having(key)).stat(key)) })),
    update: unary('update', async ({ info, update_mask }: UpdateRequest) => {
      const { name = '', labels = {} } = info ?? {}
      const change = changeOf(labels, update_mask?.paths ?? [])
      return { info: infoOf(await (await pools.having(name)).update(name, change)) }
    }),
    usage: unary('usage', async ({ key }: KeyRequest) => usageOf(await (await pools.having(key)).usage(key))),
    cleanup: unary('cleanup', async () => {
      await Promise.all(pools.all.map(store => store.cleanup()))
      return {}
    }),
    list: (call: ServerWritableStream<ListRequest, { info: Info[] }>) => void list(pools, call, report),
  }
}

/** Returns a handler for calls with one response. `signal` aborts if the client disconnects or its deadline passes. */
const unaryWith =
  (report: Report) =>
  <Request, Response>(name: string, answer: (request: Request, signal: AbortSignal) => Promise<Response>) =>
  (call: ServerUnaryCall<Request, Response>, reply: sendUnaryData<Response>): void => {
    const abort = new AbortController()
    call.on('cancelled', () => abort.abort())
    const { key = '' } = call.request as { key?: string }
    answer(call.request, abort.signal).then(
      response => reply(null, response),
      (error: unknown) => reply(failure(error, `${name} ${JSON.stringify(key)}`, report)),
    )
  }

async function list(
  pools: Pools,
  call: ServerWritableStream<ListRequest, { info: Info[] }>,
  report: Report,
): Promise<void> {
  let batch: Info[] = []
  const send = async (): Promise<void> => {
    const more = call.write({ info: batch })
    batch = []
    if (!more && !call.cancelled) await drained(call)
  }
  try {
    const filter = parseFilters(call.request.filters)
    for (const store of pools.all) {
      for await (const layer of store.walk({ filter })) {
        if (call.cancelled) return
        batch.push(infoOf(layer))
        if (batch.length === BATCH) await send()
      }
    }
    if (batch.length > 0) await send()
    call.end()
  } catch (error) {
    call.emit('error', failure(error, 'list', report))
  }
}

/** Waits until the client has received the messages, or has disconnected. */
const drained = (call: ServerWritableStream<ListRequest, { info: Info[] }>): Promise<void> =>
  new Promise(done => {
    call.once('drain', done)
    call.once('cancelled', done)
  })

function failure(error: unknown, about: string, report: Report): Partial<ServiceError> {
  const status = statusOf(SNAPSHOTTER, error, about, report)
  // Clients look for "cannot remove" if a layer has children.
  const hasChildren = error instanceof DmThinError && error.code === 'DM_LAYER_HAS_CHILDREN'
  return hasChildren ? { ...status, details: `cannot remove snapshot: ${status.details}` } : status
}
