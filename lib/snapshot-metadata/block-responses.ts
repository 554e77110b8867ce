// The messages of csi.proto in the form of the loader, and ranges of blocks as their entries.

export interface AllocatedRequest {
  readonly snapshot_id: string
  readonly starting_offset: string
  readonly max_results: number
}

export interface DeltaRequest {
  readonly base_snapshot_id: string
  readonly target_snapshot_id: string
  readonly starting_offset: string
  readonly max_results: number
}

interface BlockMetadata {
  readonly byte_offset: number
  readonly size_bytes: number
}

/** A response of either call. */
export interface MetadataResponse {
  readonly block_metadata_type: number
  readonly volume_capacity_bytes: number
  readonly block_metadata: readonly BlockMetadata[]
}

const TYPE = { FIXED_LENGTH: 1, VARIABLE_LENGTH: 2 } as const

/** The limit of the entries in a response: about 100 kB. A client of gRPC accepts 4 MiB. */
const MAX_ENTRIES = 4096

/** Blocks of a volume, counted from its start. */
export interface BlockRange {
  readonly begin: number
  readonly length: number
}

/** The form of the responses to one request. */
interface ResponseForm {
  /** True: an entry for each block. False: an entry for blocks that follow each other. */
  readonly fixedLength: boolean
  readonly blockBytes: number
  readonly sizeBytes: number
  /** The limit that the request sets, or 0. */
  readonly maxResults: number
}

/**
 * Yields the responses for ranges, which must be by ascending block, without overlap, and within the volume. Yields one
 * without entries if there are no ranges, so that the client gets the size of the volume.
 */
export async function* responsesOf(
  ranges: AsyncIterable<BlockRange>,
  form: ResponseForm,
): AsyncGenerator<MetadataResponse, void> {
  const { fixedLength, sizeBytes, blockBytes, maxResults } = form
  // The last block of such a volume is shorter than the others.
  const isFixed = fixedLength && sizeBytes % blockBytes === 0
  const head = {
    block_metadata_type: isFixed ? TYPE.FIXED_LENGTH : TYPE.VARIABLE_LENGTH,
    volume_capacity_bytes: sizeBytes,
  }
  const limit = maxResults === 0 ? MAX_ENTRIES : Math.min(maxResults, MAX_ENTRIES)
  let isFirst = true
  let entries: BlockMetadata[] = []
  for await (const range of fixedLength ? blocksOf(ranges) : joined(ranges)) {
    entries.push(inBytes(range, form))
    if (entries.length < limit) continue
    yield { ...head, block_metadata: entries }
    entries = []
    isFirst = false
  }
  if (isFirst || entries.length > 0) yield { ...head, block_metadata: entries }
}

function inBytes({ begin, length }: BlockRange, { blockBytes, sizeBytes }: ResponseForm): BlockMetadata {
  const byte_offset = begin * blockBytes
  return { byte_offset, size_bytes: Math.min(length * blockBytes, sizeBytes - byte_offset) }
}

async function* blocksOf(ranges: AsyncIterable<BlockRange>): AsyncGenerator<BlockRange, void> {
  for await (const { begin, length } of ranges) {
    for (let block = begin; block < begin + length; block++) yield { begin: block, length: 1 }
  }
}

async function* joined(ranges: AsyncIterable<BlockRange>): AsyncGenerator<BlockRange, void> {
  let last: BlockRange | undefined
  for await (const { begin, length } of ranges) {
    if (last && last.begin + last.length === begin) {
      last = { begin: last.begin, length: last.length + length }
    } else {
      if (last) yield last
      last = { begin, length }
    }
  }
  if (last) yield last
}
