// The reads of both calls: from the ids of a request to the ranges in the metadata of a pool.
import { hasCode } from '../base/errors.js'
import { RequestError, STATUS } from '../grpc/statuses.js'
import { ThinMetadata } from '../pool/thin-metadata.js'
import {
  responsesOf,
  type AllocatedRequest,
  type BlockRange,
  type DeltaRequest,
  type MetadataResponse,
} from './block-responses.js'
import type { ServedSnapshot, SnapshotResolver } from './resolvers.js'

/** The snapshots that are served, and the form of the entries. */
export interface Serving {
  readonly snapshots: SnapshotResolver
  /** True: an entry for each block. */
  readonly fixedLength: boolean
}

/** The part of a request that both calls have. */
type Part = Pick<AllocatedRequest, 'starting_offset' | 'max_results'>

interface Span {
  readonly from: number
  readonly to: number
  readonly signal: AbortSignal
}

type Read = (metadata: ThinMetadata, span: Span) => AsyncIterable<BlockRange>

/** Yields the responses with the blocks that a snapshot has. */
export async function* allocated(
  serving: Serving,
  request: AllocatedRequest,
  signal: AbortSignal,
): AsyncGenerator<MetadataResponse, void> {
  checkPart(request)
  const id = checkId('snapshot_id', request.snapshot_id)
  const snapshot = await serving.snapshots.snapshot(id, { signal })
  yield* responses(serving, snapshot, request, signal, (metadata, span) => metadata.mappings(snapshot.id, span))
}

/** Yields the responses with the blocks in which a target differs from a base, which may be a bookmark. */
export async function* changed(
  serving: Serving,
  request: DeltaRequest,
  signal: AbortSignal,
): AsyncGenerator<MetadataResponse, void> {
  checkPart(request)
  const baseId = checkId('base_snapshot_id', request.base_snapshot_id)
  const targetId = checkId('target_snapshot_id', request.target_snapshot_id)
  const target = await serving.snapshots.snapshot(targetId, { signal })
  const base = await baseOf(serving.snapshots, baseId, signal)
  if (typeof base !== 'string' && base.pool !== target.pool) {
    throw new RequestError(STATUS.INVALID_ARGUMENT, 'base and target are snapshots of different pools')
  }
  yield* responses(serving, target, request, signal, (metadata, span) =>
    typeof base === 'string' ? metadata.changedSince(base, target.id, span) : metadata.delta(base.id, target.id, span),
  )
}

/** Returns the snapshot, or the path of its bookmark. */
async function baseOf(snapshots: SnapshotResolver, id: string, signal: AbortSignal): Promise<ServedSnapshot | string> {
  try {
    return await snapshots.snapshot(id, { signal })
  } catch (fault) {
    if (!hasCode(fault, 'DM_VOLUME_NOT_FOUND', 'DM_LAYER_NOT_FOUND')) throw fault
    const bookmark = await snapshots.bookmark?.(id, { signal })
    if (bookmark === undefined) throw fault
    return bookmark
  }
}

async function* responses(
  { fixedLength }: Serving,
  { pool, sizeBytes }: ServedSnapshot,
  { starting_offset, max_results }: Part,
  signal: AbortSignal,
  read: Read,
): AsyncGenerator<MetadataResponse, void> {
  const offset = Number(starting_offset)
  if (offset < 0 || offset > sizeBytes) {
    throw new RequestError(
      STATUS.OUT_OF_RANGE,
      `starting_offset is ${starting_offset}, and the volume has ${sizeBytes} bytes`,
    )
  }
  const metadata = await (typeof pool === 'string'
    ? ThinMetadata.open(pool, { signal })
    : ThinMetadata.open(pool, { reserve: false, signal }))
  try {
    const blockBytes = metadata.dataBlockBytes
    const end = Math.ceil(sizeBytes / blockBytes)
    // At the end of the volume there is no block any more, also if the last one is shorter than others.
    const from = offset === sizeBytes ? end : Math.floor(offset / blockBytes)
    const ranges = read(metadata, { from, to: end, signal })
    yield* responsesOf(ranges, { fixedLength, blockBytes, sizeBytes, maxResults: max_results })
  } finally {
    await metadata.close()
  }
}

function checkPart({ max_results }: Part): void {
  if (max_results < 0) throw new RequestError(STATUS.INVALID_ARGUMENT, `max_results is ${max_results}`)
}

function checkId(field: string, id: string): string {
  if (id === '') throw new RequestError(STATUS.INVALID_ARGUMENT, `${field} is missing`)
  return id
}
