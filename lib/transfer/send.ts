// Sending a volume: a stream of what it contains, or of what has changed since a base.
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { abortError, DmThinError, throwIfAborted } from '../base/errors.js'
import { checkOptions, checkPath, invalid, signalOption, type SignalOption } from '../base/options.js'
import { BlockDevice } from '../block/block-device.js'
import { DEVICE_FLAG } from '../kernel/port/device-port.js'
import type { DeltaRange, MappedRange } from '../metadata/ranges.js'
import { startsUntilNow } from '../pool/state/clean-stop.js'
import type { PoolContext } from '../pool/state/context.js'
import type { ThinPool } from '../pool/thin-pool.js'
import { ThinVolume } from '../pool/volume/thin-volume.js'
import { changedRanges } from '../thin-metadata/bookmark/compare.js'
import { BookmarkFile } from '../thin-metadata/bookmark/file.js'
import { checkComparable, checkNotRolledBack as checkBookmark } from '../thin-metadata/bookmark/valid.js'
import { ThinMetadata } from '../thin-metadata/thin-metadata.js'
import {
  digestOf,
  formatHeader,
  formatRecord,
  invalidTransfer,
  MAX_CHUNK_BYTES,
  NO_DIGEST,
  type BaseState,
  type StreamHeader,
  type StreamRecord,
} from './format.js'
import { inOrder } from './in-flight.js'
import { findDetails, identityOf, refuseForeignPool, unchanged } from './state.js'

/** The amount of a volume that was sent or received so far. */
export interface TransferProgress {
  /** The number of bytes of content. */
  readonly bytes: number
  /** The offset in the volume that was reached. */
  readonly offsetBytes: number
  /** The size of the whole volume: 100 percent of `offsetBytes`. */
  readonly sizeBytes: number
}

/** Options of `sendVolume`. */
export interface SendOptions extends SignalOption {
  /** Sends what has changed since this volume or bookmark file. Default: everything. */
  readonly from?: ThinVolume | string
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
}

type Piece = Pick<StreamRecord, 'type' | 'offset' | 'length'>

/**
 * Returns a stream of the content of a snapshot, or of what has changed since `from`, for `receiveVolume`. Reads with
 * direct I/O, a few MiB ahead of the consumer. The volume must be a snapshot that was not written, inactive or active as
 * read-only. While the stream is open, the volume is active as read-only. Destroying the stream ends it, and `close` is
 * emitted when the volume is as before.
 *
 * Rejects, or the stream fails later, with `DM_TRANSFER_INVALID` (the volume or `from` was written; the volume was shrunk),
 * `DM_VOLUME_ACTIVE` (for writing), `DM_BOOKMARK_INVALID`, `DM_FILE_MISSING`, `DM_VOLUME_NOT_FOUND`, `DM_SIZE_UNKNOWN`,
 * `DM_UNSUPPORTED` (an external origin; a pool in memory, or of another program), `DM_METADATA_CORRUPT`,
 * `DM_METADATA_BUSY` (the volume was deleted), `DM_KERNEL`, `DM_INVALID_ARGUMENT`, `ABORT_ERR`.
 */
export async function sendVolume(pool: ThinPool, volume: ThinVolume, options: SendOptions = {}): Promise<Readable> {
  checkOptions(options, ['from', 'onProgress', 'signal'], 'sendVolume')
  const { from, signal } = options
  checkOwn(pool, volume, 'volume')
  if (from instanceof ThinVolume) checkOwn(pool, from, 'from')
  else if (from !== undefined) checkPath('from', from)
  const pieces = piecesOf({ pool, volume, options })
  // What is refused is refused by the call, and not by the stream.
  let first: IteratorResult<Buffer, void> | undefined = await pieces.next()
  const started: AsyncIterableIterator<Buffer> = {
    next: () => {
      const next = first
      first = undefined
      return next ? Promise.resolve(next) : pieces.next()
    },
    return: () => pieces.return() as Promise<IteratorResult<Buffer>>,
    throw: fault => pieces.throw(fault) as Promise<IteratorResult<Buffer>>,
    [Symbol.asyncIterator]: () => started,
  }
  const stream = Readable.from(started, { objectMode: false, highWaterMark: MAX_CHUNK_BYTES })
  const abort = () => stream.destroy(abortError(signal))
  signal?.addEventListener('abort', abort, { once: true })
  stream.once('close', () => signal?.removeEventListener('abort', abort))
  return stream
}

function checkOwn({ context }: ThinPool, volume: unknown, name: string): void {
  if (!(volume instanceof ThinVolume) || !volume.belongsTo(context))
    throw invalid(`${name} must be a volume of the pool`)
}

async function* piecesOf(sent: Sent): AsyncGenerator<Buffer, void> {
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
        const header = { pool: pool.name, sizeBytes, dataBlockBytes: pool.dataBlockBytes, target, base: base.state }
        yield* recordsOf(header, device, changedRanges(base.mappings, mappings), options)
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

async function* recordsOf(
  header: StreamHeader,
  device: BlockDevice,
  changes: AsyncIterable<DeltaRange>,
  { signal, onProgress }: SendOptions,
): AsyncGenerator<Buffer, void> {
  const load = async ({ type, offset, length }: Piece) => {
    const content = type === 'chunk' ? await device.read(offset, length, signalOption(signal)) : undefined
    return { record: { type, offset, length, digest: content ? await digestOf(content) : NO_DIGEST }, content }
  }
  const loaded = inOrder(divided(changes, header), READS, load)
  try {
    let next = await loaded.next()
    const beginning = formatHeader(header)
    const hash = createHash('sha256').update(beginning)
    yield beginning
    let [records, bytes] = [0, 0]
    for (; !next.done; next = await loaded.next()) {
      throwIfAborted(signal)
      const { record, content } = next.value
      const head = formatRecord(record)
      hash.update(head)
      yield head
      if (content) yield content
      records++
      bytes += content?.length ?? 0
      onProgress?.({ bytes, offsetBytes: record.offset + record.length, sizeBytes: header.sizeBytes })
    }
    yield formatRecord({ type: 'end', offset: records, length: bytes, digest: hash.digest() })
  } finally {
    await loaded.return()
  }
}

/** Yields differences as holes, and as chunks of a limited length. */
async function* divided(
  changes: AsyncIterable<DeltaRange>,
  { sizeBytes, dataBlockBytes, target }: StreamHeader,
): AsyncGenerator<Piece, void> {
  for await (const { type, begin, length } of changes) {
    const offset = begin * dataBlockBytes
    const end = Math.min((begin + length) * dataBlockBytes, sizeBytes)
    if ((begin + length - 1) * dataBlockBytes >= sizeBytes) {
      throw invalidTransfer('shrunk', `volume ${target.volume} has mappings after its size of ${sizeBytes} bytes`)
    }
    if (type === 'leftOnly') yield { type: 'hole', offset, length: end - offset }
    else {
      for (let at = offset; at < end; at += MAX_CHUNK_BYTES) {
        yield { type: 'chunk', offset: at, length: Math.min(MAX_CHUNK_BYTES, end - at) }
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

/** Opens the device of a volume that nobody can write. While it is open, the volume cannot be deactivated. */
async function openFrozen(volume: ThinVolume, { port }: PoolContext, signal: AbortSignal | undefined) {
  const wanted = signalOption(signal)
  const wasActive = await volume.refresh(wanted)
  if (volume.externalOrigin !== undefined) {
    const text = `volume ${volume.id} has the external origin ${volume.externalOrigin}, which is not sent`
    throw new DmThinError('DM_UNSUPPORTED', text, { device: volume.name })
  }
  if (!wasActive) await volume.activate({ readOnly: true, ...wanted })
  const release = () => (wasActive ? Promise.resolve() : volume.deactivate())
  try {
    const device = await BlockDevice.open(volume.path, { readOnly: true, ...wanted })
    try {
      const { flags } = await port.deviceStatus(volume.state.address, signal)
      if ((flags & DEVICE_FLAG.readOnly) === 0) {
        throw new DmThinError('DM_VOLUME_ACTIVE', `volume ${volume.id} is active for writing`, { device: volume.name })
      }
      const close = async () => {
        await device.close()
        await release()
      }
      return { device, sizeBytes: await device.size(wanted), close }
    } catch (fault) {
      await device.close()
      throw fault
    }
  } catch (fault) {
    await release()
    throw fault
  }
}
