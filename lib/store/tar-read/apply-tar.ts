// Unpacking of a layer's archive into a directory, which is the root of the layer. The archive is untrusted input.
import { DmThinError } from '../../base/errors.js'
import { machinePortOf } from '../../kernel/native-port.js'
import type { KernelOption } from '../../kernel/kernel-option.js'
import {
  checkBoolean,
  checkOptions,
  checkPath,
  type SignalOption,
  checkNumber,
  invalid,
  shown,
} from '../../base/options.js'
import { GiB, MiB } from '../../base/units.js'
import { isDigest } from '../common/digest.js'
import { archiveChunks } from './layer-file.js'
import { LayerStream } from './layer-stream.js'
import { entryOf, isGnuSparse, joined, type TarEntry } from './entry-reader.js'
import { TarEntries, type FoundEntry } from './tar-entries.js'
import { beyond, layerError, malformed, readable } from './tar-errors.js'
import { loadTarStream } from '../common/tar-stream.js'
import { padding, TarReader } from './tar-reader.js'
import { readAhead } from './read-ahead.js'
import { gnuSparse, isPaxSparse, paxSparse, type SparseMap } from './sparse-map.js'
import { TreeWriter } from './tree-writer.js'
import { whiteoutOf } from './whiteout.js'

/** Options of `applyTar`. */
export interface ApplyOptions extends SignalOption, KernelOption {
  /** The limit for the content of all files, in bytes. Default 64 GiB. */
  readonly maxBytes?: number
  /** The limit for the names that are created, including missing parents. Default 4 000 000. */
  readonly maxEntries?: number
  /**
   * The limit for memory during unpacking, in bytes: 10 to 12 for each name, 20 to 24 for each directory, and the names of
   * directories that are being removed. Default 64 MiB, which is enough for the default of `maxEntries`.
   */
  readonly maxMemoryBytes?: number
  /** The limit for the size of one file in bytes, including holes. Default: `maxBytes`. */
  readonly maxFileBytes?: number
  /**
   * The limit for the ratio of uncompressed to compressed size. It applies after the first `maxRatioFromBytes`. Default 200.
   * Images have 2 to 10. The maximum of gzip is 1032, with zeros only; that of zstd is far higher.
   */
  readonly maxRatio?: number
  /** The uncompressed bytes up to which `maxRatio` does not apply. Default 1 GiB. */
  readonly maxRatioFromBytes?: number
  /**
   * The treatment of device nodes. `allow`: creates them. `refuse`: rejects the layer. `skip`: does not create them.
   * Default `allow`.
   */
  readonly devices?: 'allow' | 'refuse' | 'skip'
  /** `strip` removes set-user-id, set-group-id and capabilities of files. Default `keep`. */
  readonly setuid?: 'keep' | 'strip'
  /** The expected digest of the stream: `sha256:` and 64 hexadecimal digits. Default: not checked. */
  readonly digest?: string
  /** The expected digest of the uncompressed archive: `sha256:` and 64 hexadecimal digits. Default: not checked. */
  readonly diffId?: string
  /** True if `.wh.NAME` and `.wh..wh..opq` remove content of lower layers; otherwise they are files. Default true. */
  readonly whiteouts?: boolean
  /** True if the file system is synced at the end (syncfs), so that everything is on the disk. Default true. */
  readonly sync?: boolean
  /** Called after batches have been written, and at the end. */
  readonly onProgress?: (progress: ApplyProgress) => void
}

/** The amount that `applyTar` has unpacked so far. */
export interface ApplyProgress {
  /** The number of entries of the archive. */
  readonly entries: number
  /** The content of files, in bytes. */
  readonly bytes: number
}

/** The amount that `applyTar` has unpacked, and the digests of the archive. */
export interface ApplyResult extends ApplyProgress {
  /** The digest of the stream as it arrived, compressed or not: `sha256:` and 64 hexadecimal digits. */
  readonly digest: string
  /** The digest of the uncompressed archive. It equals `digest` if the stream is not compressed. */
  readonly diffId: string
}

const KNOWN = [
  'maxBytes',
  'maxEntries',
  'maxMemoryBytes',
  'maxFileBytes',
  'maxRatio',
  'maxRatioFromBytes',
  'devices',
  'setuid',
  'digest',
  'diffId',
  'whiteouts',
  'sync',
  'onProgress',
  'signal',
  'kernel',
] as const

/** The headers and padding of one entry, in the limit for the length of the stream. */
const OVERHEAD_BYTES = 4096
/** The limit for bytes after the end of the archive. Archives are padded to the block size of tapes. */
const MAX_TRAILING_BYTES = 64 * MiB

type Settings = Required<Omit<ApplyOptions, 'signal' | 'kernel' | 'digest' | 'diffId' | 'onProgress'>>

function settingsOf(options: ApplyOptions): Settings {
  checkOptions(options, KNOWN, 'applyTar')
  const number = (name: keyof ApplyOptions, fallback: number, min = 0) =>
    options[name] === undefined ? fallback : checkNumber(name, options[name], { min })
  const flag = (name: 'whiteouts' | 'sync') => options[name] === undefined || checkBoolean(name, options[name])
  const maxBytes = number('maxBytes', 64 * GiB)
  checkDigest('digest', options.digest)
  checkDigest('diffId', options.diffId)
  if (options.onProgress !== undefined && typeof options.onProgress !== 'function') {
    throw invalid(`onProgress must be a function, but is ${shown(options.onProgress)}`)
  }
  return {
    maxBytes,
    maxEntries: number('maxEntries', 4_000_000),
    maxMemoryBytes: number('maxMemoryBytes', 64 * MiB),
    maxFileBytes: number('maxFileBytes', maxBytes),
    maxRatio: number('maxRatio', 200, 1),
    maxRatioFromBytes: number('maxRatioFromBytes', GiB),
    devices: oneOf('devices', options.devices ?? 'allow', ['allow', 'refuse', 'skip']),
    setuid: oneOf('setuid', options.setuid ?? 'keep', ['keep', 'strip']),
    whiteouts: flag('whiteouts'),
    sync: flag('sync'),
  }
}

function oneOf<T extends string>(name: string, value: T, known: readonly T[]): T {
  if (known.includes(value)) return value
  throw invalid(`${name} must be ${known.map(shown).join(', ')}, but is ${shown(value)}`)
}

function checkDigest(name: string, value: unknown): void {
  if (value === undefined || isDigest(value)) return
  throw invalid(`${name} must be "sha256:" and 64 hexadecimal digits, but is ${shown(value)}`)
}

/**
 * Unpacks `archive`, a layer of OCI or Docker (a tar archive, plain or compressed with gzip or zstd), into the directory
 * `root`. `archive` is a stream, or the path of a file, which is read in larger pieces than a stream of Node reads. Creates
 * names, content with holes, owners, modes, times in nanoseconds, extended attributes, links, devices and FIFOs. Whiteouts
 * remove the content of lower layers. Nothing is written outside `root`, nor on another file system inside it.
 *
 * Chunks of the stream must not change after the stream has delivered them. If the call rejects, everything that has been
 * written stays in `root`, and the caller must discard it. Errors of the stream itself are passed on unchanged.
 *
 * Rejects with `DM_LAYER_TAR` (the archive is damaged, is cut off, or has an entry that is rejected), `DM_LAYER_LIMIT`,
 * `DM_LAYER_DIGEST`, `DM_LAYER_SPACE`, `DM_DEPENDENCY` (tar-stream is not installed), `DM_UNSUPPORTED` (another
 * compression, zstd on a Node without it, a kernel before 5.6), `DM_FILE_MISSING`, `DM_INVALID_ARGUMENT`, `DM_PERMISSION`,
 * `ABORT_ERR`.
 */
export async function applyTar(
  root: string,
  archive: string | AsyncIterable<Uint8Array>,
  options: ApplyOptions = {},
): Promise<ApplyResult> {
  checkPath('root', root)
  const settings = settingsOf(options)
  return new LayerUnpacking(archiveChunks(archive), options, settings).run(root)
}

/** The unpacking of one archive, which can be read ahead before the directory exists. */
export class LayerUnpacking {
  readonly #options: ApplyOptions
  readonly #settings: Settings
  readonly #stream: LayerStream
  readonly #archive: AsyncGenerator<Buffer, void, undefined>
  #reader: TarReader
  #entries = 0
  #bytes = 0

  constructor(stream: AsyncIterable<Uint8Array>, options: ApplyOptions, settings = settingsOf(options)) {
    this.#options = options
    this.#settings = settings
    const { maxBytes, maxEntries, maxRatio, maxRatioFromBytes } = settings
    const maxStreamBytes = maxBytes + maxEntries * OVERHEAD_BYTES + MAX_TRAILING_BYTES
    this.#stream = new LayerStream(stream, { maxStreamBytes, maxRatio, maxRatioFromBytes }, options.signal)
    this.#archive = this.#stream.archive()
    this.#reader = new TarReader(this.#archive)
  }

  /**
   * Begins to read, decompress and digest the archive, up to `maxBytes` of the uncompressed archive. Call it before `run`, and
   * call `close` if `run` is not called.
   */
  readAhead(maxBytes: number): void {
    this.#reader = new TarReader(readAhead(this.#archive, maxBytes))
  }

  /** Unpacks the archive, once. `whenRead` is called when the archive has been read, before everything is on the disk. */
  async run(root: string, whenRead = (): void => {}): Promise<ApplyResult> {
    const { signal, kernel } = this.#options
    try {
      const port = machinePortOf(kernel, 'trees of files')
      const entries = new TarEntries(await loadTarStream(), this.#reader)
      const { maxEntries: names, maxMemoryBytes: bytes } = this.#settings
      const handle = await port.treeOpen(root, { names, bytes }, signal)
      const sink = new TreeWriter(port, handle, signal, () => this.#tell())
      try {
        return await this.#apply(entries, sink, whenRead)
      } finally {
        await sink.settled()
        await port.release(handle)
      }
    } catch (fault) {
      throw layerError(fault)
    } finally {
      await this.close()
    }
  }

  /** Ends the reading of the archive. Waits until no thread uses its pieces, but not for its source. Never rejects. */
  async close(): Promise<void> {
    void this.#archive.return()
    this.#stream.abandon()
    await this.#stream.settled()
  }

  async #apply(entries: TarEntries, sink: TreeWriter, whenRead: () => void): Promise<ApplyResult> {
    for (let found = await entries.next(); found; found = await entries.next()) await this.#entry(found, sink)
    await this.#reader.drain(MAX_TRAILING_BYTES, () => beyond('more than 64 MiB follow the end of the archive'))
    whenRead()
    const digests = await this.#stream.digests()
    this.#compare('digest', digests.digest)
    this.#compare('diffId', digests.diffId)
    const proved = this.#options.digest !== undefined || this.#options.diffId !== undefined
    if (!entries.endMarked && !proved) {
      throw malformed('the archive is cut off: its end is not marked, and no digest proves that it is complete')
    }
    await sink.finish(this.#settings.sync)
    this.#tell()
    return { ...digests, entries: this.#entries, bytes: this.#bytes }
  }

  async #entry(found: FoundEntry, sink: TreeWriter): Promise<void> {
    const entry = this.#allowed(entryOf(found.header, found.block, found.records))
    this.#entries += 1
    if (this.#entries > this.#settings.maxEntries) throw beyond('the layer has more entries than maxEntries')
    const sparse = entry.type === 'file' ? await this.#sparse(found, entry) : undefined
    const content = entry.storedBytes - (sparse?.mapBytes ?? 0)
    const path = readable(joined(entry.parent, entry.name))
    if ((sparse?.sizeBytes ?? content) > this.#settings.maxFileBytes) throw beyond(`file ${path} is over maxFileBytes`)
    if (this.#bytes + content > this.#settings.maxBytes) throw beyond(`the layer's files are over maxBytes at ${path}`)
    this.#bytes += content
    const whiteout = this.#settings.whiteouts ? whiteoutOf(entry) : undefined
    if (whiteout === undefined) {
      await this.#write(entry, sink, sparse)
    } else {
      await this.#reader.skip(content)
      if (whiteout.kind === 'opaque') await sink.opaque(entry.parent)
      if (whiteout.kind === 'name') await sink.whiteout(entry.parent, whiteout.name)
    }
    await this.#reader.skip(padding(entry.storedBytes))
  }

  async #sparse({ block, records }: FoundEntry, entry: TarEntry): Promise<SparseMap | undefined> {
    if (isGnuSparse(block)) return gnuSparse(block, entry.storedBytes, this.#reader)
    return isPaxSparse(records) ? paxSparse(records, entry.storedBytes, this.#reader) : undefined
  }

  async #write(entry: TarEntry, sink: TreeWriter, sparse: SparseMap | undefined): Promise<void> {
    if (entry.name === '' && entry.type !== 'directory') throw malformed('the root of the layer is not a directory')
    if (entry.type === 'character-device' || entry.type === 'block-device') {
      if (this.#settings.devices === 'skip') return
      const path = readable(joined(entry.parent, entry.name))
      if (this.#settings.devices === 'refuse')
        throw malformed(`entry ${path} is a device node, and devices are rejected`)
    }
    await sink.entry(entry, this.#reader, sparse)
  }

  /** Applies `setuid: 'strip'`. The set-group-id bit of a directory grants no rights, so that it stays. */
  #allowed(entry: TarEntry): TarEntry {
    if (this.#settings.setuid === 'keep' || entry.type === 'directory') return entry
    const xattrs = new Map(entry.xattrs)
    xattrs.delete('security.capability')
    return { ...entry, mode: entry.mode & ~0o6000, xattrs }
  }

  #compare(name: 'digest' | 'diffId', found: string): void {
    const wanted = this.#options[name]
    if (wanted === undefined || wanted === found) return
    throw new DmThinError('DM_LAYER_DIGEST', `the layer's ${name} is ${found}, and not ${wanted}`, { detail: found })
  }

  #tell(): void {
    this.#options.onProgress?.({ entries: this.#entries, bytes: this.#bytes })
  }
}
