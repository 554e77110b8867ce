// The stream of a layer: decompression, limits and digests. The digest is that of the stream, and the diff id that of the
// uncompressed archive. Both include the bytes after the end of the archive.
import type { Transform } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as zlib from 'node:zlib'
import { abortError, DmThinError, throwIfAborted } from '../../base/errors.js'
import { invalid, shown } from '../../base/options.js'
import { release } from '../../base/reused-memory.js'
import { Sha256 } from '../../kernel/sha256.js'
import { beyond, malformed } from './tar-errors.js'

interface StreamLimits {
  /** The limit for the bytes of the stream, and for those of the uncompressed archive. */
  readonly maxStreamBytes: number
  readonly maxRatio: number
  readonly maxRatioFromBytes: number
}

const OUTPUT_BYTES = 256 * 1024
const GZIP = Buffer.from([0x1f, 0x8b])
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
/** Recognises a skippable frame of zstd: 0x184D2A50 to 0x184D2A5F. */
const isSkippable = (start: Buffer) => start.length >= 4 && (start.readUInt32LE(0) & 0xfffffff0) >>> 0 === 0x184d2a50
const OTHERS: readonly (readonly [magic: Buffer, name: string])[] = [
  [Buffer.from([0x42, 0x5a, 0x68]), 'bzip2'],
  [Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), 'xz'],
]
/** The number of bytes that identify the compression. */
export const MAGIC_BYTES = 6
/** The time after which the event loop gets a turn. */
const TURN_MS = 5

/** The function of Node 22.15, 23.8 and later. */
interface ZstdInNode {
  readonly createZstdDecompress?: (options: zlib.ZlibOptions) => Transform & { readonly bytesWritten: number }
}

type Decompressor = Transform & { readonly bytesWritten: number }

function decompressor(start: Buffer): Decompressor | undefined {
  if (start.subarray(0, 2).equals(GZIP)) return zlib.createGunzip({ chunkSize: OUTPUT_BYTES })
  if (start.subarray(0, 4).equals(ZSTD) || isSkippable(start)) {
    const create = (zlib as ZstdInNode).createZstdDecompress
    if (create) return create({ chunkSize: OUTPUT_BYTES })
    const message = 'the layer is compressed with zstd, which Node has from 22.15 and 23.8 on'
    throw new DmThinError('DM_UNSUPPORTED', `${message}; this is ${process.version}`)
  }
  const other = OTHERS.find(([magic]) => start.subarray(0, magic.length).equals(magic))
  if (other)
    throw new DmThinError('DM_UNSUPPORTED', `the layer is compressed with ${other[1]}; layers are gzip or zstd`)
  return undefined
}

/** Returns whether data that begins with these bytes is compressed, also if the compression is not supported. */
export function isCompressed(start: Buffer): boolean {
  const magics = [GZIP, ZSTD, ...OTHERS.map(([magic]) => magic)]
  return isSkippable(start) || magics.some(magic => start.subarray(0, magic.length).equals(magic))
}

/** Waits for `promise` or for the abort. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise<T>((resolve, reject) => {
    const stop = () => reject(abortError(signal))
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

/** The stream of one layer. */
export class LayerStream {
  readonly #given: AsyncIterator<Uint8Array>
  readonly #limits: StreamLimits
  readonly #signal: AbortSignal | undefined
  readonly #digests: boolean
  readonly #digest: Sha256 | undefined
  #inner: Sha256 | undefined
  #givenBytes = 0
  #bytes = 0
  #ended = false
  #turn = performance.now()

  /** `digests`: whether the digests are computed. Default true. */
  constructor(
    stream: AsyncIterable<Uint8Array>,
    limits: StreamLimits,
    signal: AbortSignal | undefined,
    { digests = true }: { readonly digests?: boolean } = {},
  ) {
    this.#digests = digests
    this.#digest = digests ? new Sha256() : undefined
    this.#given = stream[Symbol.asyncIterator]()
    this.#limits = limits
    this.#signal = signal
  }

  /** Returns the uncompressed archive. After its end, `digests` can be called. */
  async *archive(): AsyncGenerator<Buffer, void, undefined> {
    const start = await this.#start()
    const unpack = decompressor(start)
    if (!unpack) {
      if (start.length > 0) yield start
      for (let chunk = await this.#next(); chunk; chunk = await this.#next()) yield chunk
      return
    }
    this.#inner = this.#digests ? new Sha256() : undefined
    const pumping = this.#pump(start, unpack)
    try {
      for await (const chunk of unpack as AsyncIterable<Buffer>) {
        this.#count(chunk)
        await this.#inner?.add(chunk)
        yield chunk
      }
    } catch (fault) {
      throw decompressionFault(fault)
    } finally {
      unpack.destroy()
    }
    const fault = await pumping
    if (fault) throw fault
    if (unpack.bytesWritten < this.#givenBytes) throw unread(start)
  }

  async digests(): Promise<{ digest: string; diffId: string }> {
    const [digest, inner] = await Promise.all([this.#digest!.hex(), this.#inner?.hex()])
    return { digest: `sha256:${digest}`, diffId: `sha256:${inner ?? digest}` }
  }

  /** Waits until no thread computes a digest of the stream's chunks. Never rejects. */
  async settled(): Promise<void> {
    await Promise.all([this.#digest?.close(), this.#inner?.close()])
  }

  /** Closes the source. Does not wait for it, because a source that hangs would block the call. */
  abandon(): void {
    if (this.#ended) return
    this.#ended = true
    void Promise.resolve(this.#given.return?.()).catch(() => {})
  }

  /** Reads the bytes that identify the compression; fewer if the stream is shorter. */
  async #start(): Promise<Buffer> {
    let start: Buffer = Buffer.alloc(0)
    while (start.length < MAGIC_BYTES) {
      const chunk = await this.#next()
      if (!chunk) break
      start = start.length === 0 ? chunk : Buffer.concat([start, chunk])
    }
    return start
  }

  async #next(): Promise<Buffer | undefined> {
    await this.#pause()
    throwIfAborted(this.#signal)
    if (this.#ended) return undefined
    const next = await orAborted(this.#given.next(), this.#signal)
    if (next.done === true) {
      this.#ended = true
      return undefined
    }
    const { value } = next
    if (!(value instanceof Uint8Array)) throw invalid(`stream must deliver Uint8Arrays, but delivered ${shown(value)}`)
    this.#givenBytes += value.length
    if (this.#givenBytes > this.#limits.maxStreamBytes) throw this.#tooLong()
    await this.#digest?.add(value)
    return Buffer.from(value.buffer, value.byteOffset, value.length)
  }

  /**
   * Yields to the event loop from time to time. If the source never waits and each write completes before the next one,
   * Node settles up to a thousand results in one turn, and timers and I/O are delayed.
   */
  async #pause(): Promise<void> {
    if (performance.now() - this.#turn < TURN_MS) return
    await nextTurn()
    this.#turn = performance.now()
  }

  /** Feeds the decompressor. If it ends before the stream does, the rest is only added to the digest. */
  async #pump(start: Buffer, unpack: Decompressor): Promise<Error | undefined> {
    let ended = false
    let wake = () => {}
    unpack.once('end', () => (ended = true))
    for (const event of ['drain', 'end', 'close']) unpack.on(event, () => wake())
    try {
      for (let chunk: Buffer | undefined = start; chunk; chunk = await this.#next()) {
        if (ended) continue
        if (unpack.destroyed) return undefined
        const piece = chunk
        const done = (fault?: Error | null) => (fault ? undefined : release(piece))
        if (!unpack.write(piece, done)) await new Promise<void>(resolve => (wake = resolve))
      }
      if (!unpack.destroyed) unpack.end()
      return undefined
    } catch (fault) {
      unpack.destroy(fault as Error)
      return fault as Error
    }
  }

  #count(chunk: Buffer): void {
    this.#bytes += chunk.length
    const { maxStreamBytes, maxRatio, maxRatioFromBytes } = this.#limits
    if (this.#bytes > maxStreamBytes) throw this.#tooLong()
    if (this.#bytes > maxRatioFromBytes && this.#bytes > maxRatio * this.#givenBytes) {
      throw beyond(`the uncompressed layer has more than ${maxRatio} times its compressed size (maxRatio)`)
    }
  }

  #tooLong(): DmThinError {
    return beyond(
      `the stream has more than the ${this.#limits.maxStreamBytes} bytes that maxBytes and maxEntries allow`,
    )
  }
}

/**
 * Returns the error for compressed bytes that were not read. zlib stops silently at bytes that are not a further member.
 * zstd of Node 22 and 24 stops after its first frame.
 */
function unread(start: Buffer): DmThinError {
  if (start.subarray(0, 2).equals(GZIP)) return malformed('other data follows the compressed layer')
  const message = `the zstd layer has several frames, or other data after them; ${process.version} reads only one`
  return new DmThinError('DM_UNSUPPORTED', `${message}, and Node 26 reads all`)
}

function decompressionFault(fault: unknown): unknown {
  if (fault instanceof DmThinError) return fault
  const { code, message } = fault as NodeJS.ErrnoException
  if (code === undefined || !/^(Z_|ZSTD_|ERR_(BUFFER|ZLIB))/.test(code)) return fault
  return malformed(`the compressed layer is damaged or cut off: ${message}`, { cause: fault })
}
