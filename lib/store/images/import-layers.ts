// The layers of an image, imported one after the other. While a layer is completed, the next one is read ahead.
import { signalOption, type SignalOption } from '../../base/options.js'
import { hasCode, throwIfAborted } from '../../base/errors.js'
import { MiB } from '../../base/units.js'
import { LayerUnpacking, type ApplyOptions, type ApplyProgress } from '../tar-read/apply-tar.js'
import type { Lease } from '../engine/leases.js'
import type { Labels } from '../common/layer-types.js'
import type { Contents } from './contents.js'
import { chainId, type FoundImage, type FoundLayer } from './document.js'
import type { ImportOptions } from './import-options.js'

/** The calls of a store that an import of layers needs. */
export interface Layers {
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

/**
 * The bytes of the next layer's uncompressed archive that are read while a layer is completed, so that the memory of an import
 * does not depend on the size of its layers. The last piece may exceed it, by at most 1 MiB.
 */
export const AHEAD_BYTES = 16 * MiB

/**
 * Imports all layers, from the lowest, and returns their keys. A lease on each layer prevents its removal until all layers
 * exist.
 */
export async function importLayers(
  store: Layers,
  contents: Pick<Contents, 'open'>,
  { layers }: Pick<FoundImage, 'layers'>,
  options: ImportOptions,
): Promise<string[]> {
  // Nothing is opened or read before `readAhead` or `run`.
  const unpackings = layers.map((layer, at) => {
    const tell = (progress: ApplyProgress) =>
      options.onProgress?.({ ...progress, layer: at + 1, layers: layers.length })
    return { tell, archive: new LayerUnpacking(contents.open(layer.path), applyOptions(layer, options, tell)) }
  })
  const leases: Lease[] = []
  const keys: string[] = []
  let chain: string | undefined
  try {
    for (const { diffId } of layers) {
      throwIfAborted(options.signal)
      const parent = keys.at(-1) ?? ''
      chain = chainId(chain, diffId)
      const key = chain + policyOf(options)
      const { tell, archive } = unpackings.shift()!
      const whenRead = () => unpackings[0]?.archive.readAhead(AHEAD_BYTES)
      leases.push(await importLayer(store, archive, { ...options, key, parent, tell, whenRead }))
      keys.push(key)
    }
  } finally {
    await Promise.all(unpackings.map(({ archive }) => archive.close()))
    await Promise.all(leases.map(lease => lease.release()))
  }
  return keys
}

/**
 * Returns the suffix of a layer's key: the options `devices` and `setuid` that are not the default. The content of a layer
 * depends on them too, so that a stricter import must not use a layer of a less strict import.
 */
function policyOf({ devices = 'allow', setuid = 'keep' }: ImportOptions): string {
  return (devices === 'allow' ? '' : `;devices=${devices}`) + (setuid === 'keep' ? '' : `;setuid=${setuid}`)
}

function applyOptions(
  { digest, diffId }: FoundLayer,
  { signal, devices, setuid, maxBytes, maxEntries, maxMemoryBytes }: ImportOptions,
  onProgress: (progress: ApplyProgress) => void,
): ApplyOptions {
  return {
    diffId,
    onProgress,
    ...(digest !== undefined && { digest }),
    ...signalOption(signal),
    ...(devices && { devices }),
    ...(setuid && { setuid }),
    ...(maxBytes !== undefined && { maxBytes }),
    ...(maxEntries !== undefined && { maxEntries }),
    ...(maxMemoryBytes !== undefined && { maxMemoryBytes }),
  }
}

interface LayerImport extends Pick<ImportOptions, 'labels' | 'signal'> {
  readonly key: string
  readonly parent: string
  readonly tell: (progress: ApplyProgress) => void
  /** Called when the archive of the layer has been read, and the layer is not complete yet. */
  readonly whenRead: () => void
}

/** Returns a lease on the layer, and imports the layer if it does not exist. Another import may create it concurrently. */
async function importLayer(
  store: Layers,
  archive: LayerUnpacking,
  { key, parent, tell, whenRead, labels = {}, signal }: LayerImport,
): Promise<Lease> {
  try {
    const there = await kept(store, key)
    if (there) {
      tell({ entries: 0, bytes: 0 })
      return there
    }
    const fill = (folder: string) => archive.run(folder, whenRead)
    return await store.addLayer(key, parent, fill, { labels, ...signalOption(signal) })
  } catch (fault) {
    const made = hasCode(fault, 'DM_LAYER_EXISTS') ? await kept(store, key) : undefined
    if (!made) throw fault
    return made
  } finally {
    await archive.close() // the layer exists, or was not created
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
