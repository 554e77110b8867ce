// The difference between two mounted layers as the tar of an OCI layer.
import { type Readable, pipeline } from 'node:stream'
import { createGzip, type Gzip } from 'node:zlib'
import { checkOptions, type SignalOption, invalid, shown } from '../../base/options.js'
import { KiB } from '../../base/units.js'
import { checkTrees } from '../compare/changes.js'
import { LayerTar, type TarProgress } from './layer-tar.js'

export type { TarProgress } from './layer-tar.js'

/** Options of `diffTar`. */
export interface DiffTarOptions extends SignalOption {
  /** The compression of the tar: `gzip`, or `none`. Default `none`. */
  readonly compression?: 'gzip' | 'none'
  /** Called from time to time, on the JavaScript thread. If it throws, the stream fails with its error. */
  readonly onProgress?: (progress: TarProgress) => void
}

/**
 * Returns the differences of the mounted tree `upper` from the mounted tree `lower` as the tar of an OCI layer. Without
 * `lower`, returns all of `upper`. The work begins with the first read. The same trees result in the same bytes (with gzip:
 * with the same zlib).
 *
 * The entries are the changes that `changes` returns, in the order of the bytes of their paths. They include directories
 * with changed content, so that these keep their mode, and `.wh.NAME` for deleted names. Owners are numbers. Times are those
 * of modification, in nanoseconds. Extended attributes are records `SCHILY.xattr.*`. Further names of a file are hard links
 * to the first name, or to an unchanged name in the layer below. Sockets are skipped. Holes of files are written as zeros.
 *
 * The stream fails with the codes of `changes`, with `DM_LAYER_CHANGED` if a file has changed since the trees were compared,
 * `DM_UNSUPPORTED` (a name that begins with `.wh.`, or something that tar cannot represent), `DM_DEPENDENCY`
 * (tar-stream is not installed), `ABORT_ERR`. If it fails, discard the partial tar. After `close`, all descriptors are
 * closed.
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
  const gzip = layerGzip()
  // The end or error of one stream is passed to the other; the caller handles the stream that is returned.
  pipeline(tar, gzip, () => {})
  return gzip
}

/** Returns the compression of a layer's tar. Node's default for a piece is 16 KiB, of which each costs a turn of the event loop. */
export const layerGzip = (): Gzip => createGzip({ chunkSize: 256 * KiB })
