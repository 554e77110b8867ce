// tar-stream's packer with what it lacks: extended headers of any bytes, and a word when nobody takes more.
import type { loadTarStream } from '../common/tar-stream.js'
import type { TarEntry, TarHeader } from './entry-writer.js'

type Pack = ReturnType<Awaited<ReturnType<typeof loadTarStream>>['pack']>

export class TarPacker {
  readonly #pack: Pack
  readonly #take: (chunk: Buffer | null) => boolean
  #full = false
  #closed = false
  #wake: (() => void) | undefined

  /** `take` is given the tar's bytes, and null at their end; it answers whether it wants more at once. */
  constructor(pack: Pack, take: (chunk: Buffer | null) => boolean) {
    this.#pack = pack
    this.#take = take
    pack.on('data', (chunk: unknown) => {
      if (this.#take(chunk as Buffer)) return
      this.#full = true
      pack.pause()
    })
    pack.on('end', () => void this.#take(null))
    // Each entry's own callback tells of it.
    pack.on('error', () => {})
  }

  /** More is wanted. */
  resume(): void {
    this.#full = false
    this.#pack.resume()
    this.#wake?.()
  }

  /** What is being added fails. */
  destroy(): void {
    this.#closed = true
    this.#pack.destroy()
    this.#wake?.()
  }

  /** Until somebody takes what is there. */
  async room(): Promise<void> {
    while (this.#full && !this.#closed) await new Promise<void>(resolve => (this.#wake = resolve))
    this.#checkOpen()
  }

  /** `content`: as long as the header says. One entry at a time. */
  async add(entry: TarEntry, content: Buffer): Promise<void> {
    const { sink, added } = this.#begin(entry)
    if (entry.header.type === 'file') sink.end(content)
    await added
  }

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
    // The last entry is done, so this goes between the two.
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
