// Raw layers from images of disks, and images of disks from layers.
import { open, rm } from 'node:fs/promises'
import { checkPath, invalid, signalOption } from '../../base/options.js'
import { DmThinError, ERRNO, hasCode, throwIfAborted } from '../../base/errors.js'
import { MiB } from '../../base/units.js'
import { alignedBuffer, BlockDevice } from '../../block/block-device.js'
import type { StoreParts } from '../engine/parts.js'
import { isTaken, withRollback } from '../engine/rollback.js'
import { step } from '../common/step-channel.js'
import type { Labels } from '../common/layer-types.js'
import type { Row } from '../records/row.js'
import { refuseTaken, stateError } from '../records/layer-lookup.js'
import { seal } from './commit.js'
import { prepare, type PrepareParts } from './prepare.js'

/** The unit of reads and writes. */
const PIECE_BYTES = MiB
/** The unit of holes in a file. */
const HOLE_BYTES = 65_536
const ZEROS = Buffer.alloc(PIECE_BYTES)

/** The part of a raw image that was copied. */
export interface RawProgress {
  /** The bytes of the image that were read. */
  readonly doneBytes: number
  /** The size of the layer in bytes. */
  readonly totalBytes: number
}

/** An image that is open: its bytes, and its size rounded up to whole MiB if it is a file or a block device. */
interface RawSource {
  readonly bytes: AsyncIterable<Uint8Array>
  readonly sizeBytes: number | undefined
  close(): Promise<void>
}

/** Opens an image by its path, or takes a stream as it is. */
export async function openRaw(image: string | AsyncIterable<Uint8Array>): Promise<RawSource> {
  if (typeof image !== 'string') return { bytes: checkStream(image), sizeBytes: undefined, close: async () => {} }
  const path = checkPath('image', image)
  const file = await open(path, 'r').catch((fault: NodeJS.ErrnoException) => {
    throw fault.code === 'ENOENT' ? missing(path, fault) : fault
  })
  try {
    const found = await file.stat()
    if (!found.isFile() && !found.isBlockDevice()) throw invalid(`${path} is neither a file nor a block device`)
    const bytes = file.createReadStream({ highWaterMark: PIECE_BYTES, autoClose: false })
    const sizeBytes = found.isFile() ? found.size : await sizeOf(path)
    return { bytes, sizeBytes: Math.ceil(sizeBytes / MiB) * MiB, close: () => file.close() }
  } catch (fault) {
    await file.close()
    throw fault
  }
}

async function sizeOf(path: string): Promise<number> {
  const device = await BlockDevice.open(path, { readOnly: true })
  try {
    return await device.size()
  } finally {
    await device.close()
  }
}

function checkStream(image: unknown): AsyncIterable<Uint8Array> {
  if (typeof (image as Partial<AsyncIterable<Uint8Array>> | null)?.[Symbol.asyncIterator] === 'function')
    return image as AsyncIterable<Uint8Array>
  throw invalid('image must be a path or a stream of bytes')
}

const missing = (path: string, cause: Error): DmThinError =>
  new DmThinError('DM_FILE_MISSING', `${path} does not exist`, { device: path, cause })

interface RawImport {
  readonly name: string
  readonly sizeBytes: number
  readonly labels: Labels
  readonly image: AsyncIterable<Uint8Array>
  readonly onProgress: ((progress: RawProgress) => void) | undefined
  readonly signal: AbortSignal | undefined
}

/** Creates a committed raw layer without a parent, and writes an image to it. */
export async function importRaw(parts: StoreParts, request: RawImport): Promise<void> {
  const { records, writer, owner, volumes, clock } = parts
  const { name, sizeBytes, labels, signal } = request
  await parts.reserve.check()
  for (;;) {
    throwIfAborted(signal)
    step('raw.intent', name)
    const row = await writer.write(() => {
      refuseTaken(records, name)
      const rest = { parent: null, sizeBytes, fileSystem: 'ext4', raw: true, labels: {}, at: clock() } as const
      return records.insert({ key: null, kind: 'active', state: 'making', owner: owner.id, ...rest })
    })
    try {
      await withRollback(parts, row, async made => {
        step('raw.create', name)
        const volume = await volumes.create(row, signal)
        made()
        await volume.activate(signalOption(signal))
        step('raw.write', name)
        await fill(volume.path, parts.pool.dataBlockBytes, request)
        await seal(parts, row, { name, labels, signal })
      })
      return
    } catch (fault) {
      if (!isTaken(fault)) throw fault // otherwise, tries the next thin id; nothing of the image was read
    }
  }
}

async function fill(
  path: string,
  blockBytes: number,
  { image, name, sizeBytes, onProgress, signal }: RawImport,
): Promise<void> {
  // A block of the pool is written as a whole or not at all: with `skipBlockZeroing`, the rest would be somebody's old data.
  const holeBytes = PIECE_BYTES % blockBytes === 0 ? blockBytes : undefined
  const device = await BlockDevice.open(path, { exclusive: true, ...signalOption(signal) })
  try {
    let offset = 0
    for await (const piece of pieces(image)) {
      throwIfAborted(signal)
      if (offset + piece.length > sizeBytes) {
        const text = `the image of ${JSON.stringify(name)} is larger than ${sizeBytes} bytes`
        throw new DmThinError('DM_LAYER_LIMIT', text, { device: name })
      }
      const ranges = holeBytes === undefined ? [[0, piece.length] as const] : dataIn(piece, holeBytes)
      for (const [begin, end] of ranges)
        await device.write(offset + begin, piece.subarray(begin, end), signalOption(signal))
      offset += piece.length
      onProgress?.({ doneBytes: offset, totalBytes: sizeBytes })
    }
    await device.flush(signalOption(signal))
  } catch (fault) {
    throw hasCode(fault, 'DM_KERNEL') && fault.errno === ERRNO.ENOSPC ? noSpace(name, fault) : fault
  } finally {
    await device.close()
  }
}

const noSpace = (name: string, cause: DmThinError): DmThinError =>
  new DmThinError('DM_LAYER_SPACE', `the pool has no space for the image of ${JSON.stringify(name)}`, {
    device: name,
    cause,
  })

/** Returns the ranges of a piece that are not zeros, in units of `holeBytes`. */
function dataIn(piece: Buffer, holeBytes: number): [begin: number, end: number][] {
  const ranges: [number, number][] = []
  for (let at = 0; at < piece.length; at += holeBytes) {
    const end = Math.min(at + holeBytes, piece.length)
    if (piece.compare(ZEROS, 0, end - at, at, end) === 0) continue
    const last = ranges.at(-1)
    if (last?.[1] === at) last[1] = end
    else ranges.push([at, end])
  }
  return ranges
}

/** Collects a stream in aligned buffers of `PIECE_BYTES`; the last is filled with zeros. */
async function* pieces(image: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let piece = alignedBuffer(PIECE_BYTES)
  let filled = 0
  for await (const chunk of image) {
    for (let at = 0; at < chunk.length;) {
      const count = Math.min(chunk.length - at, PIECE_BYTES - filled)
      piece.set(chunk.subarray(at, at + count), filled)
      filled += count
      at += count
      if (filled < PIECE_BYTES) continue
      yield piece
      piece = alignedBuffer(PIECE_BYTES)
      filled = 0
    }
  }
  if (filled > 0) yield piece
}

interface RawExport {
  readonly key: string
  /** The path of the image, which must not exist. */
  readonly file: string
  readonly onProgress: ((progress: RawProgress) => void) | undefined
  readonly signal: AbortSignal | undefined
}

/** Writes the content of the device of a committed layer or a view to a new sparse file. */
export async function exportRaw(parts: PrepareParts, { key, ...request }: RawExport): Promise<void> {
  const { signal } = request
  const check = (row: Row) => {
    if (row.kind === 'active') throw stateError(row, 'it is active and may change: make a checkpoint of it')
  }
  await parts.leases.using(
    key,
    async row => {
      if (row.kind === 'view') return copyOut((await parts.volumes.active(row, signal)).path, row.sizeBytes, request)
      const options = signalOption(signal)
      const view = await prepare(parts, { kind: 'view', key: null, parent: key, options })
      try {
        await copyOut(view.path, row.sizeBytes, request)
      } finally {
        await parts.removals.abandon([view.row])
      }
    },
    check,
  )
}

async function copyOut(
  path: string,
  totalBytes: number,
  { file, onProgress, signal }: Omit<RawExport, 'key'>,
): Promise<void> {
  const device = await BlockDevice.open(path, { readOnly: true, ...signalOption(signal) })
  try {
    const image = await open(file, 'wx', 0o600)
    try {
      await image.truncate(totalBytes)
      for (let offset = 0; offset < totalBytes; offset += PIECE_BYTES) {
        const length = Math.min(PIECE_BYTES, totalBytes - offset)
        const piece = await device.read(offset, length, signalOption(signal))
        for (const [begin, end] of dataIn(piece, HOLE_BYTES))
          await image.write(piece, begin, end - begin, offset + begin)
        onProgress?.({ doneBytes: offset + length, totalBytes })
      }
      await image.sync()
    } catch (fault) {
      await rm(file, { force: true })
      throw fault
    } finally {
      await image.close()
    }
  } finally {
    await device.close()
  }
}
