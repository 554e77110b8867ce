// Import of images: each layer becomes a committed layer named after its chain id, so that images share common layers.
import { checkPath, invalid, shown, signalOption } from '../../base/options.js'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError } from '../../base/errors.js'
import { fileChunks } from '../tar-read/layer-file.js'
import { archiveInPlace } from './archive-file.js'
import { directoryContents, unpackedContents, type Contents } from './contents.js'
import type { ImageConfig } from './document.js'
import { findImage } from './find.js'
import { checkImportOptions, DEFAULT_BYTES, DEFAULT_ENTRIES, type ImportOptions } from './import-options.js'
import { importLayers, type Layers } from './import-layers.js'

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

/** Imports an image. An archive that cannot be read in place is unpacked into the folder `staging`, and removed. */
export async function importImage(
  store: Layers,
  staging: string,
  source: string | AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<ImportedImage> {
  checkImportOptions(options)
  const contents = await contentsOf(staging, source, options)
  try {
    const image = await findImage(contents, { name: options.name, platform: options.platform })
    const layers = await importLayers(store, contents, image, options)
    const top = layers.at(-1)
    if (top === undefined) throw new DmThinError('DM_IMAGE', 'image: it has no layers')
    const { name, digest, config } = image
    return { name, digest, config, layers, top }
  } finally {
    await contents.close()
  }
}

async function contentsOf(
  staging: string,
  source: string | AsyncIterable<Uint8Array>,
  { maxBytes = DEFAULT_BYTES, maxEntries = DEFAULT_ENTRIES, signal }: ImportOptions,
): Promise<Contents> {
  const limits = { maxBytes, maxEntries, ...signalOption(signal) }
  if (typeof source !== 'string') {
    if (typeof (source as Partial<typeof source> | null)?.[Symbol.asyncIterator] === 'function') {
      return unpackedContents(staging, source, limits)
    }
    throw invalid(`source must be a path or a stream, but is ${shown(source)}`)
  }
  const file = path.resolve(checkPath('source', source))
  const found = await stat(file).catch((cause: unknown) => {
    throw new DmThinError('DM_FILE_MISSING', `${file} is not there`, { device: file, cause })
  })
  if (found.isDirectory()) return directoryContents(file)
  // Of a pipe, for example, the beginning can be read only once.
  const inPlace = found.isFile() ? await archiveInPlace(file, limits) : undefined
  return inPlace ?? unpackedContents(staging, fileChunks(file), limits)
}
