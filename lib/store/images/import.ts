// Import of images: each layer becomes a committed layer named after its chain id, so that images share common layers.
import {
  signalOption,
  checkOptions,
  checkPath,
  checkText,
  type SignalOption,
  checkNumber,
  invalid,
  shown,
} from '../../base/options.js'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError, hasCode, throwIfAborted } from '../../base/errors.js'
import { GiB, MiB } from '../../base/units.js'
import { applyTar, type ApplyOptions, type ApplyProgress } from '../tar-read/apply-tar.js'
import { fileChunks } from '../tar-read/layer-file.js'
import { checkLabels } from '../common/options.js'
import type { Lease } from '../engine/leases.js'
import type { Labels } from '../common/types.js'
import { archiveContents, directoryContents, type Contents } from './contents.js'
import { chainId, type FoundImage, type ImageConfig } from './document.js'
import { findImage } from './find.js'

/** Options of `LayerStore.importImage`. */
export interface ImportOptions
  extends SignalOption, Pick<ApplyOptions, 'devices' | 'setuid' | 'maxBytes' | 'maxEntries' | 'maxMemoryBytes'> {
  /**
   * The name of the image in the archive, such as `docker.io/library/busybox:latest`. Default: the only image; needed
   * if the archive has several.
   */
  readonly name?: string
  /** The platform of the image, such as `linux/arm64`. Default: that of this machine. */
  readonly platform?: string
  /** Labels of the layers that are created. Default none. */
  readonly labels?: Labels
  /** Called as by `applyLayer`, and once for each layer that exists already. */
  readonly onProgress?: (progress: ImportProgress) => void
}

/** The amount that `LayerStore.importImage` has unpacked so far. */
export interface ImportProgress extends ApplyProgress {
  /** The number of the current layer, from 1, the lowest. */
  readonly layer: number
  /** The number of layers of the image. */
  readonly layers: number
}

/** An image that `LayerStore.importImage` has imported. */
export interface ImportedImage {
  /** The name of the image in the archive. */
  readonly name: string | undefined
  /** The digest of the manifest, or of the configuration if there is no manifest. */
  readonly digest: string
  /** The configuration of the image, as it is in the archive: `config.Env`, `config.Cmd` … */
  readonly config: ImageConfig
  /**
   * The keys of the layers in the store, from the lowest. A key is the chain id, followed by `devices` and `setuid` of the
   * import if these are not the defaults, for example `;setuid=strip`.
   */
  readonly layers: readonly string[]
  /** The key of the highest layer, which is the parent of a container's layer. */
  readonly top: string
}

/** The calls of a store that an import needs. */
export interface Layers {
  /** @internal Returns an unused name for a temporary folder. */
  stagingFolder(): string
  /** @internal */
  keepLayer(key: string): Promise<Lease>
  /** @internal */
  addLayer(
    name: string,
    parent: string,
    fill: (folder: string) => Promise<unknown>,
    options: SignalOption & { labels: Labels },
  ): Promise<Lease>
}

const LIMITS = ['maxBytes', 'maxEntries', 'maxMemoryBytes']
const KNOWN = ['name', 'platform', 'labels', 'devices', 'setuid', ...LIMITS, 'onProgress', 'signal']
const DEFAULT_BYTES = 64 * GiB
const DEFAULT_ENTRIES = 4_000_000
const DEFAULT_MEMORY_BYTES = 64 * MiB

export async function importImage(
  store: Layers,
  source: string | AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<ImportedImage> {
  checkOptions(options, KNOWN, 'importImage')
  checkLabels(options.labels ?? {})
  if (options.name !== undefined) checkText('name', options.name)
  if (options.platform !== undefined) checkText('platform', options.platform)
  checkNumber('maxBytes', options.maxBytes ?? DEFAULT_BYTES, { min: 0 })
  checkNumber('maxEntries', options.maxEntries ?? DEFAULT_ENTRIES, { min: 0 })
  checkNumber('maxMemoryBytes', options.maxMemoryBytes ?? DEFAULT_MEMORY_BYTES, { min: 0 })
  const contents = await contentsOf(store, source, options)
  try {
    const image = await findImage(contents, { name: options.name, platform: options.platform })
    return await importLayers(store, contents, image, options)
  } finally {
    await contents.close()
  }
}

async function contentsOf(
  store: Layers,
  source: string | AsyncIterable<Uint8Array>,
  { maxBytes = DEFAULT_BYTES, maxEntries = DEFAULT_ENTRIES, signal }: ImportOptions,
): Promise<Contents> {
  const staging = store.stagingFolder()
  const limits = { maxBytes, maxEntries, signal }
  if (typeof source !== 'string') {
    if (typeof (source as Partial<typeof source> | null)?.[Symbol.asyncIterator] === 'function') {
      return archiveContents(staging, source, limits)
    }
    throw invalid(`source must be a path or a stream, but is ${shown(source)}`)
  }
  const file = path.resolve(checkPath('source', source))
  const found = await stat(file).catch((cause: unknown) => {
    throw new DmThinError('DM_FILE_MISSING', `${file} is not there`, { device: file, cause })
  })
  if (found.isDirectory()) return directoryContents(file)
  return archiveContents(staging, fileChunks(file), limits)
}

/** Imports all layers. A lease on each layer prevents its removal until all layers exist. */
async function importLayers(
  store: Layers,
  contents: Contents,
  image: FoundImage,
  options: ImportOptions,
): Promise<ImportedImage> {
  const leases: Lease[] = []
  const keys: string[] = []
  let chain: string | undefined
  try {
    for (const [at, layer] of image.layers.entries()) {
      throwIfAborted(options.signal)
      const parent = keys.at(-1)
      chain = chainId(chain, layer.diffId)
      const key = chain + policyOf(options)
      const layers = image.layers.length
      const tell = (progress: ApplyProgress) => options.onProgress?.({ ...progress, layer: at + 1, layers })
      leases.push(await importLayer(store, contents, layer, { ...options, key, parent: parent ?? '', tell }))
      keys.push(key)
    }
  } finally {
    await Promise.all(leases.map(lease => lease.release()))
  }
  const top = keys.at(-1)
  if (top === undefined) throw new DmThinError('DM_IMAGE', 'image: it has no layers')
  const { name, digest, config } = image
  return { name, digest, config, layers: keys, top }
}

/**
 * Returns the suffix of a layer's key: the options `devices` and `setuid` that are not the default. The content of a layer
 * depends on them too, so that a stricter import must not use a layer of a less strict import.
 */
function policyOf({ devices = 'allow', setuid = 'keep' }: ImportOptions): string {
  return (devices === 'allow' ? '' : `;devices=${devices}`) + (setuid === 'keep' ? '' : `;setuid=${setuid}`)
}

interface LayerImport extends ImportOptions {
  readonly key: string
  readonly parent: string
  readonly tell: (progress: ApplyProgress) => void
}

/** Returns a lease on the layer, and imports the layer if it does not exist. Another import may create it concurrently. */
async function importLayer(
  store: Layers,
  contents: Contents,
  layer: FoundImage['layers'][number],
  options: LayerImport,
): Promise<Lease> {
  const { key, parent, tell, signal, labels = {}, devices, setuid, maxBytes, maxEntries, maxMemoryBytes } = options
  const there = await kept(store, key)
  if (there) {
    tell({ entries: 0, bytes: 0 })
    return there
  }
  const limits = {
    ...signalOption(signal),
    ...(devices && { devices }),
    ...(setuid && { setuid }),
    ...(maxBytes !== undefined && { maxBytes }),
    ...(maxEntries !== undefined && { maxEntries }),
    ...(maxMemoryBytes !== undefined && { maxMemoryBytes }),
  }
  const digests = { ...(layer.digest !== undefined && { digest: layer.digest }), diffId: layer.diffId }
  const fill = (folder: string) =>
    applyTar(folder, contents.open(layer.path), { ...limits, ...digests, onProgress: tell })
  try {
    return await store.addLayer(key, parent, fill, { labels, ...signalOption(signal) })
  } catch (fault) {
    const made = hasCode(fault, 'DM_LAYER_EXISTS') ? await kept(store, key) : undefined
    if (!made) throw fault
    return made
  }
}

async function kept(store: Layers, key: string): Promise<Lease | undefined> {
  try {
    return await store.keepLayer(key)
  } catch (fault) {
    if (hasCode(fault, 'DM_LAYER_NOT_FOUND', 'DM_LAYER_STATE')) return undefined
    throw fault
  }
}
