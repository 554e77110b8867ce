// Export of a committed layer and its ancestors as an image: an archive that containerd, Docker and OCI tools read.
import { signalOption, checkOptions, checkText, type SignalOption, invalid, shown } from '../../base/options.js'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { PassThrough, pipeline as joined, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { arch } from 'node:process'
import { DmThinError, throwIfAborted } from '../../base/errors.js'
import { digested, digestOf } from '../common/digest.js'
import { MiB } from '../../base/units.js'
import { loadTarStream } from '../common/tar-stream.js'
import type { LayerInfo } from '../common/layer-types.js'
import { layerGzip } from '../tar-write/diff-tar.js'
import { blobPath, type Descriptor, type ImageConfig } from './document.js'

/** Options of `LayerStore.exportImage`. */
export interface ExportOptions extends SignalOption {
  /** The name of the image in the archive, such as `docker.io/library/mine:latest`. Default none: Docker loads it unnamed. */
  readonly name?: string
  /**
   * The configuration of the image: `config.Env`, `config.Cmd`, `history` … Its list of layers is filled in. Default: the
   * platform of this machine and the layers only.
   */
  readonly config?: Partial<ImageConfig>
  /** The compression of the layers: `gzip`, or `none`. Default `gzip`. */
  readonly compression?: 'gzip' | 'none'
  /** Called when a layer has been written, the lowest first. */
  readonly onProgress?: (progress: ExportProgress) => void
}

/** The number of layers that `LayerStore.exportImage` has written so far. */
export interface ExportProgress {
  /** The number of layers that have been written. */
  readonly layer: number
  /** The number of layers of the image. */
  readonly layers: number
}

/** The calls of a store that an export needs. */
export interface LayerSource {
  stat(key: string): Promise<LayerInfo>
  diffLayer(key: string, options: SignalOption): Readable
}

interface Blob extends Descriptor {
  readonly content: Buffer | string
}

/**
 * Returns the archive. Each layer is written to a file in the folder `staging` first, because its size and digest precede it
 * in the archive.
 */
export function exportImage(store: LayerSource, staging: string, top: string, options: ExportOptions): Readable {
  checkOptions(options, ['name', 'config', 'compression', 'onProgress', 'signal'], 'exportImage')
  const { name, compression = 'gzip', signal } = options
  if (name !== undefined) checkText('name', name)
  if (compression !== 'gzip' && compression !== 'none') {
    throw invalid(`compression must be 'gzip' or 'none', but is ${shown(compression)}`)
  }
  const archive = new PassThrough()
  // While a layer is written, nothing is written to the archive, and its end does not reach `archiveOf`.
  const stop = new AbortController()
  archive.once('close', () => stop.abort())
  const bytes = archiveOf(store, staging, top, { ...options, signal: stop.signal })
  pipeline(bytes, archive, signalOption(signal)).catch((fault: Error) => archive.destroy(fault))
  return archive
}

async function* archiveOf(
  store: LayerSource,
  staging: string,
  top: string,
  options: ExportOptions,
): AsyncGenerator<Uint8Array> {
  await mkdir(staging, { recursive: true, mode: 0o700 })
  try {
    const blobs = await layersOf(store, top, staging, options)
    yield* packed([...blobs.layers, ...documents(blobs, options)])
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

interface LayerBlobs {
  readonly layers: readonly Blob[]
  readonly diffIds: readonly string[]
}

async function layersOf(
  store: LayerSource,
  top: string,
  staging: string,
  { compression = 'gzip', onProgress, signal }: ExportOptions,
): Promise<LayerBlobs> {
  const chain = await chainOf(store, top)
  const layers: Blob[] = []
  const diffIds: string[] = []
  for (const [at, { key }] of chain.entries()) {
    throwIfAborted(signal)
    const file = path.join(staging, String(at))
    let [digest, size, inner] = ['', 0, '']
    const tar = store.diffLayer(key, signalOption(signal))
    const bytes =
      compression === 'none' ? tar : joined(Readable.from(digested(tar, each => (inner = each))), layerGzip(), () => {})
    const counted = digested(bytes, (each, count) => ([digest, size] = [each, count]))
    await pipeline(counted, createWriteStream(file, { mode: 0o600 }), signalOption(signal))
    layers.push({ mediaType: layerType(compression), digest, size, content: file })
    diffIds.push(compression === 'none' ? digest : inner)
    onProgress?.({ layer: at + 1, layers: chain.length })
  }
  return { layers, diffIds }
}

/** Returns the layer and its ancestors, from the lowest. Rejects with `DM_LAYER_STATE` if the layer is not committed. */
async function chainOf(store: LayerSource, top: string): Promise<LayerInfo[]> {
  const chain: LayerInfo[] = []
  for (let key = top; key !== ''; key = chain[0]!.parent) chain.unshift(await store.stat(key))
  if (chain.at(-1)?.kind === 'committed') return chain
  const text = `layer ${JSON.stringify(top)} is ${chain.at(-1)?.kind}: commit it first, so that it does not change during the export`
  throw new DmThinError('DM_LAYER_STATE', text, { device: top })
}

const layerType = (compression: string): string =>
  `application/vnd.oci.image.layer.v1.tar${compression === 'gzip' ? '+gzip' : ''}`

/** Returns all blobs except the layers: the documents of OCI, and the list that older versions of Docker read. */
function documents(
  { layers, diffIds }: LayerBlobs,
  { name, config = {} }: ExportOptions,
): (Blob & { path?: string })[] {
  const json = (mediaType: string, value: unknown): Blob => {
    const content = Buffer.from(JSON.stringify(value))
    return { mediaType, digest: digestOf(content), size: content.length, content }
  }
  const architecture = arch === 'x64' ? 'amd64' : arch
  const rootfs = { type: 'layers', diff_ids: diffIds }
  const configBlob = json('application/vnd.oci.image.config.v1+json', { architecture, os: 'linux', ...config, rootfs })
  const plain = ({ mediaType, digest, size }: Blob) => ({ mediaType, digest, size })
  const manifest = json('application/vnd.oci.image.manifest.v1+json', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: plain(configBlob),
    layers: layers.map(plain),
  })
  const annotations =
    name === undefined
      ? {}
      : { annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': tagOf(name) } }
  const index = json('', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ ...plain(manifest), ...annotations }],
  })
  const docker = json('', [
    {
      Config: blobPath(configBlob.digest),
      RepoTags: name === undefined ? null : [name],
      Layers: layers.map(({ digest }) => blobPath(digest)),
    },
  ])
  return [
    configBlob,
    manifest,
    { ...json('', { imageLayoutVersion: '1.0.0' }), path: 'oci-layout' },
    { ...index, path: 'index.json' },
    { ...docker, path: 'manifest.json' },
  ]
}

const tagOf = (name: string): string => /:([^:/]+)$/.exec(name)?.[1] ?? 'latest'

async function* packed(blobs: readonly (Blob & { path?: string })[]): AsyncGenerator<Uint8Array> {
  const { pack } = await loadTarStream()
  const archive = pack()
  const seen = new Set<string>()
  const filling = (async () => {
    for (const blob of blobs) {
      const name = blob.path ?? blobPath(blob.digest)
      if (seen.has(name)) continue // two layers may be equal
      seen.add(name)
      const content =
        typeof blob.content === 'string' ? createReadStream(blob.content, { highWaterMark: MiB }) : [blob.content]
      const entry = archive.entry({ name, size: blob.size, mode: 0o644, mtime: new Date(0) })
      await pipeline(Readable.from(content), entry)
    }
    archive.finalize()
  })()
  filling.catch((fault: Error) => archive.destroy(fault))
  yield* archive as unknown as AsyncIterable<Uint8Array>
  await filling
}
