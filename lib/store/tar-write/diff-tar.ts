// The difference of two mounted layers as the tar of an OCI layer.
import { type Readable, pipeline } from 'node:stream'
import { createGzip } from 'node:zlib'
import { checkOptions, type SignalOption, invalid, shown } from '../../base/options.js'
import { checkTrees } from '../compare/changes.js'
import { LayerTar, type TarProgress } from './layer-tar.js'

export type { TarProgress } from './layer-tar.js'

/** Options of `diffTar`. */
export interface DiffTarOptions extends SignalOption {
  /** Default `none`. */
  readonly compression?: 'gzip' | 'none'
  /** Called from time to time, on the JavaScript thread. What it throws ends the stream. */
  readonly onProgress?: (progress: TarProgress) => void
}

/**
 * What makes `upper` of `lower`, both mounted trees, as the tar of an OCI layer; without `lower` all of `upper`. Work
 * begins with the first read. The same trees give the same bytes each time (with gzip: by the same zlib).
 *
 * Entries are the changes that `changes` lists, in the order of their paths' bytes: directories in which something
 * changed too, so that they keep their mode; `.wh.NAME` for what was deleted. Owners are numbers; times are those of
 * modification, in nanoseconds; extended attributes are records `SCHILY.xattr.*`. Further names of a file are hard links
 * to the first, or to one that has not changed and is in the layer below. Sockets are left out. Holes of files are
 * written as zeros.
 *
 * The stream fails with what `changes` rejects with, with `DM_LAYER_CHANGED` where a file is no longer what it was when
 * the trees were compared, `DM_UNSUPPORTED` (a name that begins with `.wh.`, or what tar cannot hold),
 * `DM_STORE_DEPENDENCY` (needs tar-stream), `ABORT_ERR`. What came out before is then worth nothing. When it has closed
 * (`close`), all descriptors are.
 */
export function diffTar(lower: string | undefined, upper: string, options: DiffTarOptions = {}): Readable {
  checkTrees(lower, upper)
  checkOptions(options, ['compression', 'onProgress', 'signal'], 'diffTar')
  const { compression = 'none', onProgress, signal } = options
  if (compression !== 'none' && compression !== 'gzip') {
    throw invalid(`compression must be 'gzip' or 'none', but is ${shown(compression)}`)
  }
  const tar = new LayerTar(lower, upper, { onProgress, signal })
  if (compression === 'none') return tar
  const gzip = createGzip()
  // Either one's end or fault is the other's; the caller hears of it from the one that it has.
  pipeline(tar, gzip, () => {})
  return gzip
}
