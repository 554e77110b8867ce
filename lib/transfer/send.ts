// Sending a volume: a stream of what it contains, or of what has changed since a base.
import type { Readable } from 'node:stream'
import type { DmThinError } from '../base/errors.js'
import { checkOptions, checkPath, invalid, signalOption, type SignalOption } from '../base/options.js'
import type { BlockDevice } from '../block/block-device.js'
import type { DeltaRange, MappedRange } from '../metadata/ranges.js'
import type { BaseState, SentStates } from '../pool/state/sent-states.js'
import { isSinceStart, startsUntilNow } from '../pool/state/clean-stop.js'
import type { PoolContext } from '../pool/state/context.js'
import type { ThinPool } from '../pool/thin-pool.js'
import { ThinVolume } from '../pool/volume/thin-volume.js'
import { changedRanges } from '../pool/bookmark/compare.js'
import { BookmarkFile } from '../pool/bookmark/file.js'
import { checkComparable, checkNotRolledBack as checkBookmark } from '../pool/bookmark/valid.js'
import { ThinMetadata } from '../pool/thin-metadata.js'
import { digestOf } from './chunk-digest.js'
import { invalidTransfer, MAX_CHUNK_BYTES, NO_DIGEST, type StreamHeader, type StreamRecord } from './format.js'
import { openFrozen } from './frozen-device.js'
import { inOrder } from './in-flight.js'
import type { TransferProgress } from './progress.js'
import { findDetails, identityOf, isSame, refuseForeignPool, unchanged } from './state.js'
import { parseToken, type Resumed } from './token.js'
import { readableOf, streamOf, type LoadedRecord } from './write-stream.js'

/** Options of `sendVolume`. */
export interface SendOptions extends SignalOption {
  /** Sends what has changed since this volume or bookmark file. Default: everything. */
  readonly from?: ThinVolume | string
  /**
   * Continues a stream that was interrupted, with a token of `interruptedReceives`. `volume` and `from` must be those of that
   * stream. Default: from the start of the volume.
   */
  readonly resume?: string
  /** Called after each chunk and hole. Default: no calls. */
  readonly onProgress?: (progress: TransferProgress) => void
}

/** The number of reads that are in progress. */
const READS = 8

/** The mappings of a base, and its state. Without a base, none. */
interface Base {
  readonly state: BaseState | undefined
  readonly mappings: AsyncIterable<MappedRange>
  readonly close: () => Promise<void>
}

interface Sent {
  readonly pool: ThinPool
  readonly volume: ThinVolume
  readonly options: SendOptions
  readonly resumed: Resumed | undefined
}

type Piece = Pick<StreamRecord, 'type' | 'offset' | 'length'>

/**
 * Returns a stream of the content of a snapshot, or of what has changed since `from`, for `receiveVolume`. Reads with
 * direct I/O, a few MiB ahead of the consumer. The volume must be a snapshot that was not written, inactive or active as
 * read-only. While the stream is open, the volume is active as read-only. Destroying the stream ends it, and `close` is
 * emitted when the volume is as before. If another stream or program has its device open then, the kernel removes the device
 * when that closes it.
 *
 * Rejects, or the stream fails later, with `DM_TRANSFER_INVALID` (the volume or `from` was written; the volume was
 * shrunk; the token is of another stream),
 * `DM_VOLUME_ACTIVE` (for writing), `DM_BOOKMARK_INVALID`, `DM_FILE_MISSING`, `DM_VOLUME_NOT_FOUND`, `DM_SIZE_UNKNOWN`,
 * `DM_UNSUPPORTED` (an external origin; a pool in memory, or of another program), `DM_METADATA_CORRUPT`,
 * `DM_METADATA_BUSY` (the volume was deleted), `DM_KERNEL`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
 */
export async function sendVolume(pool: ThinPool, volume: ThinVolume, options: SendOptions = {}): Promise<Readable> {
  checkOptions(options, ['from', 'resume', 'onProgress', 'signal'], 'sendVolume')
  const { from, resume, signal } = options
  checkOwn(pool, volume, 'volume')
  if (from instanceof ThinVolume) checkOwn(pool, from, 'from')
  else if (from !== undefined) checkPath('from', from)
  const resumed = resume === undefined ? undefined : parseToken(resume)
  return readableOf(piecesOf({ pool, volume, options, resumed }), signal)
}

function checkOwn({ context }: ThinPool, volume: unknown, name: string): void {
  if (!(volume instanceof ThinVolume) || !volume.belongsTo(context))
    throw invalid(`${name} must be a volume of the pool`)
}

async function* piecesOf(sent: Sent): AsyncGenerator<Uint8Array, void> {
  const { pool, volume, options } = sent
  const wanted = signalOption(options.signal)
  refuseForeignPool(pool.context)
  const metadata = await ThinMetadata.open(pool, { reserve: false, ...wanted })
  try {
    const details = await findDetails(metadata, volume.id, wanted)
    const target = { start: pool.context.uuid, ...identityOf(details) }
    const base = await baseOf(sent, metadata)
    try {
      const mappings = unchanged(metadata.mappings(volume.id, wanted), target, () => written(pool.context, volume.id))
      const { device, sizeBytes, close } = await openFrozen(volume, pool.context, options.signal)
      try {
        const states = await statesOf(sent, { target, base: base.state })
        const header = { pool: pool.name, sizeBytes, dataBlockBytes: pool.dataBlockBytes, ...states }
        const loaded = loadedOf(header, device, changedRanges(base.mappings, mappings), options.signal)
        yield* streamOf(header, loaded, options)
      } finally {
        await close()
      }
    } finally {
      await base.close()
    }
  } finally {
    await metadata.close()
  }
}

/**
 * Returns the states of the stream: of one that continues, those of its start. Rejects with `DM_TRANSFER_INVALID` if the
 * volumes are others.
 */
async function statesOf({ pool, resumed }: Sent, now: SentStates): Promise<SentStates & Partial<Resumed>> {
  if (!resumed) return now
  const { target, base } = resumed
  const isTarget = isSame(target, now.target) && (await isSinceStart(pool.context, target.start))
  const start = base?.starts.at(-1)
  const isBase =
    base && now.base
      ? isSame(base, now.base) && start !== undefined && now.base.starts.includes(start)
      : base === now.base
  if (isTarget && isBase) return resumed
  throw invalidTransfer('resume', 'the token is of another stream: the volume, or what it is compared with, is another')
}

function loadedOf(
  header: StreamHeader,
  device: BlockDevice,
  changes: AsyncIterable<DeltaRange>,
  signal: AbortSignal | undefined,
): AsyncGenerator<LoadedRecord, void> {
  const load = async ({ type, offset, length }: Piece) => {
    const content = type === 'chunk' ? await device.read(offset, length, signalOption(signal)) : undefined
    return { record: { type, offset, length, digest: content ? await digestOf(content) : NO_DIGEST }, content }
  }
  return inOrder(divided(changes, header), READS, load)
}

/** Yields differences as holes, and as chunks that end at the multiples of their greatest length. */
async function* divided(
  changes: AsyncIterable<DeltaRange>,
  { sizeBytes, dataBlockBytes, target, resume }: StreamHeader,
): AsyncGenerator<Piece, void> {
  for await (const { type, begin, length } of changes) {
    const offset = Math.max(begin * dataBlockBytes, resume?.offset ?? 0)
    const end = Math.min((begin + length) * dataBlockBytes, sizeBytes)
    if ((begin + length - 1) * dataBlockBytes >= sizeBytes) {
      throw invalidTransfer('shrunk', `volume ${target.volume} has mappings after its size of ${sizeBytes} bytes`)
    }
    if (offset >= end) continue
    if (type === 'leftOnly') yield { type: 'hole', offset, length: end - offset }
    else {
      for (let at = offset; at < end;) {
        const next = Math.min(end, (Math.floor(at / MAX_CHUNK_BYTES) + 1) * MAX_CHUNK_BYTES)
        yield { type: 'chunk', offset: at, length: next - at }
        at = next
      }
    }
  }
}

const written = ({ name }: PoolContext, id: number): DmThinError =>
  invalidTransfer(
    'written-since-snapshot',
    `volume ${id} of pool ${name} is not a snapshot, or was written: send one of it`,
  )

async function baseOf({ pool, options: { from, signal } }: Sent, metadata: ThinMetadata): Promise<Base> {
  const wanted = signalOption(signal)
  const close = () => Promise.resolve()
  if (from === undefined) return { state: undefined, mappings: none(), close }
  const starts = await startsUntilNow(pool.context)
  if (from instanceof ThinVolume) {
    const state = { starts, ...identityOf(await findDetails(metadata, from.id, wanted)) }
    const fault = () => written(pool.context, from.id)
    return { state, mappings: unchanged(metadata.mappings(from.id, wanted), state, fault), close }
  }
  const file = await BookmarkFile.open(from, signal)
  try {
    await checkComparable({ pool: pool.context, superblock: metadata.superblock }, file.header, from)
    await checkBookmark(pool.context, from, signal)
    const { volume, creationTime, mappedBlocks } = file.header
    const state = { starts, volume, time: creationTime, mappedBlocks }
    const fault = () =>
      invalidTransfer('written-since-snapshot', `bookmark ${from} is not of a snapshot that was not written`)
    return { state, mappings: unchanged(file.ranges(signal), state, fault), close: () => file.close() }
  } catch (fault) {
    await file.close()
    throw fault
  }
}

async function* none(): AsyncGenerator<MappedRange, void> {}
