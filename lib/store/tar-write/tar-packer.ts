// A wrapper of tar-stream's packer that adds extended headers of any bytes, and backpressure.
import type { loadTarStream } from '../common/tar-stream.js'
import type { TarEntry, TarHeader } from './entry-writer.js'

type Pack = ReturnType<Awaited<ReturnType<typeof loadTarStream>>['pack']>

/** The packer of one tar. */
export class TarPacker {
  readonly #pack: Pack
  readonly #take: (chunk: Buffer | null) => boolean
  #full = false
  #closed = false
  #wake: (() => void) | undefined

  /** `take` receives the bytes of the tar, and null at the end. It returns whether it accepts more bytes immediately. */
  constructor(pack: Pack, take: (chunk: Buffer | null) => boolean) {
    this.#pack = pack
    this.#take = take
    pack.on('data', (chunk: unknown) => {
      if (this.#take(chunk as Buffer)) return
      this.#full = true
      pack.pause()
    })
    pack.on('end', () => void this.#take(null))
    // The callback of each entry reports the error.
    pack.on('error', () => {})
  }

  /** Resumes the packer after `take` returned false. */
  resume(): void {
    this.#full = false
    this.#pack.resume()
    this.#wake?.()
  }

  /** Closes the packer. An `add` in progress fails. */
  destroy(): void {
    this.#closed = true
    this.#pack.destroy()
    this.#wake?.()
  }

  /** Waits until `take` accepts more bytes. */
  async room(): Promise<void> {
    while (this.#full && !this.#closed) await new Promise<void>(resolve => (this.#wake = resolve))
    this.#checkOpen()
  }

  /** Adds an entry. `content` must have the size of the header. Only one entry can be added at a time. */
  async add(entry: TarEntry, content: Buffer): Promise<void> {
    const { sink, added } = this.#begin(entry)
    if (entry.header.type === 'file') sink.end(content)
    await added
  }

  /** Adds an entry whose content is delivered in pieces. */
  async addInPieces(entry: TarEntry, pieces: AsyncIterable<Buffer>): Promise<void> {
    const { sink, added } = this.#begin(entry)
    added.catch(() => {})
    for await (const piece of pieces) sink.write(piece)
    sink.end(undefined)
    await added
  }

  finish(): void {
    this.#pack.finalize()
  }

  #begin({ header, pax }: TarEntry) {
    this.#checkOpen()
    // The previous entry is complete, so that these blocks are between the two entries.
    if (pax !== undefined) this.#pack.push(pax)
    let settle!: (fault?: Error | null) => void
    const added = new Promise<void>((resolve, reject) => (settle = fault => (fault ? reject(fault) : resolve())))
    const sink = this.#pack.entry({ ...header } satisfies TarHeader, settle)
    sink.on('error', () => {})
    return { sink, added }
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error('the tar was closed')
  }
}
