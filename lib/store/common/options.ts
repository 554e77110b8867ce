// What callers may ask when they open a store, and the checks.
import type { CreatePoolOptions, DeviceSource } from '../../pool/lifecycle/options.js'
import { GiB, MiB } from '../../base/units.js'
import {
  checkNumber,
  invalid,
  shown,
  checkBoolean,
  checkName,
  checkOptions,
  checkPath,
  checkText,
  type SignalOption,
} from '../../base/options.js'
import { runMkfs, type Formatter } from './mkfs.js'
import type { Labels, LayerFileSystem } from './types.js'

/** The pool of a store. Only the first `open` needs it; later ones compare what is given. */
export interface StorePoolOptions extends Pick<CreatePoolOptions, 'dataBlockBytes' | 'skipBlockZeroing'> {
  /** Name of its mapped device. Default `layers-` and eight digits, chosen once. */
  readonly name?: string
  /** A block device, by its path, or a file. Default: the sparse file `data.img` of 100 GiB in the store's directory. */
  readonly data?: string | DeviceSource
  /** Default: the file `metadata.img` of 256 MiB in the store's directory, with its space allocated. */
  readonly metadata?: string | DeviceSource
  /**
   * Takes a pool that has volumes or a transaction id already, where nothing of it is recorded: they are left alone
   * (`volume-without-layer`), and the transaction id goes up from where it is. Of another program's pool that is the end.
   * Default false: `DM_STORE_MISMATCH`.
   */
  readonly adopt?: boolean
}

/** Options of `LayerStore.open`. */
export interface OpenStoreOptions extends SignalOption {
  /** Where the records are, and the pool's files where it has no devices of its own. Made if it is missing. */
  readonly directory: string
  /** Default: sparse files and loop devices in `directory`. For development and small machines. */
  readonly pool?: StorePoolOptions
  /** Of layers without a parent. Default `ext4`. */
  readonly fileSystem?: LayerFileSystem
  /** Size of the file system of layers without a parent, in bytes, whole MiB. Default 10 GiB. */
  readonly sizeBytes?: number
  /**
   * Give blocks of removed layers back to the devices below the pool (a discard before the deletion). Default: true where
   * that is a file, which would keep its size else; false on block devices.
   */
  readonly discard?: boolean
  /**
   * Percent of the pool's data and of its metadata, 0 to 50, that are kept for removals and for the layers that there are:
   * with less free, `prepare`, `view`, `warm` and imports reject with `DM_POOL_FULL`. Of the file system below a pool's file
   * the same, at most 1 GiB. Default 10.
   */
  readonly reservePercent?: number
  /** Makes file systems. Default: `mkfs.ext4` and `mkfs.xfs` of the machine, the only programs that a store starts. */
  readonly format?: Formatter
}

/** Options of `LayerStore.prepare`. */
export interface PrepareOptions extends SignalOption {
  /** Default none. */
  readonly labels?: Labels
  /**
   * Size of its file system in bytes, whole MiB. Default: the parent's, or the store's. A larger one than the parent's is
   * grown to before it is handed out; smaller is refused.
   */
  readonly sizeBytes?: number
  /** Only without a parent. Default: the store's. */
  readonly fileSystem?: LayerFileSystem
  /**
   * The layer is a block device for a virtual machine, and what is on it is not trusted: neither the store nor `Layer.mount`
   * mounts it, `commit` takes its blocks as they are, and a larger size is that of the device alone. All layers above it
   * are raw too. Default: as the parent; false without one.
   */
  readonly raw?: boolean
}

/** Sources of the pool, as they are recorded. */
export interface PoolPlace {
  readonly name: string
  readonly data: DeviceSource
  readonly metadata: DeviceSource
  readonly dataBlockBytes?: number
  readonly skipBlockZeroing?: boolean
}

const DEFAULT_SIZE_BYTES = 10 * GiB
const MIN_SIZE_BYTES = 16 * MiB
const MAX_SIZE_BYTES = 2 ** 50
/** xfsprogs makes none below 300 MiB. */
const MIN_XFS_BYTES = 300 * MiB
const MAX_KEY_BYTES = 1024

export interface StorePlan {
  readonly directory: string
  readonly pool: Partial<PoolPlace>
  readonly adopt: boolean
  readonly fileSystem: LayerFileSystem
  readonly sizeBytes: number
  readonly discard: boolean | undefined
  readonly reservePercent: number
  readonly format: Formatter
  readonly signal: AbortSignal | undefined
}

export function checkOpen(options: OpenStoreOptions): StorePlan {
  const known = ['directory', 'pool', 'fileSystem', 'sizeBytes', 'discard', 'reservePercent', 'format', 'signal']
  checkOptions(options, known, 'LayerStore.open')
  if (options.format !== undefined && typeof options.format !== 'function') {
    throw invalid(`format must be a function, but is ${shown(options.format)}`)
  }
  const fileSystem = checkFileSystem(options.fileSystem ?? 'ext4')
  return {
    directory: checkPath('directory', options.directory),
    pool: checkPool(options.pool ?? {}),
    adopt: checkBoolean('pool.adopt', options.pool?.adopt),
    fileSystem,
    sizeBytes: checkSize(options.sizeBytes ?? DEFAULT_SIZE_BYTES, fileSystem),
    discard: options.discard === undefined ? undefined : checkBoolean('discard', options.discard),
    reservePercent: checkNumber('reservePercent', options.reservePercent ?? 10, { min: 0, max: 50 }),
    format: options.format ?? runMkfs,
    signal: options.signal,
  }
}

function checkPool(pool: StorePoolOptions): Partial<PoolPlace> {
  checkOptions(pool, ['name', 'data', 'metadata', 'dataBlockBytes', 'skipBlockZeroing', 'adopt'], 'pool')
  const { name, data, metadata, dataBlockBytes, skipBlockZeroing } = pool
  return {
    ...(name !== undefined && { name: checkName(name, 'pool.name') }),
    ...(data !== undefined && { data: sourceOf('pool.data', data) }),
    ...(metadata !== undefined && { metadata: sourceOf('pool.metadata', metadata) }),
    ...(dataBlockBytes !== undefined && { dataBlockBytes }),
    ...(skipBlockZeroing !== undefined && { skipBlockZeroing: checkBoolean('skipBlockZeroing', skipBlockZeroing) }),
  }
}

/** What is in it the pool checks itself. */
function sourceOf(what: string, source: string | DeviceSource): DeviceSource {
  if (typeof source === 'string') return { device: checkPath(what, source) }
  if (typeof source === 'object' && source !== null) return source
  throw invalid(`${what} must be a path, { device } or { file, sizeBytes }, but is ${shown(source)}`)
}

export function checkPrepare(options: PrepareOptions, call: string): PrepareOptions {
  checkOptions(options, ['labels', 'sizeBytes', 'fileSystem', 'raw', 'signal'], call)
  if (options.raw !== undefined) checkBoolean('raw', options.raw)
  if (options.labels !== undefined) checkLabels(options.labels)
  if (options.fileSystem !== undefined) checkFileSystem(options.fileSystem)
  if (options.sizeBytes !== undefined) checkSize(options.sizeBytes, options.fileSystem ?? 'ext4')
  return options
}

export function checkKey(what: string, key: unknown): string {
  const text = checkText(what, key)
  if (text === '') throw invalid(`${what} must not be empty`)
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_KEY_BYTES) throw invalid(`${what} must be at most ${MAX_KEY_BYTES} bytes, but has ${bytes}`)
  return text
}

export function checkLabels(labels: unknown): Labels {
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) {
    throw invalid(`labels must be an object of texts, but are ${shown(labels)}`)
  }
  for (const [name, value] of Object.entries(labels)) {
    checkText('the name of a label', name)
    checkText(`label ${shown(name)}`, value)
  }
  return labels as Labels
}

export function checkFileSystem(type: unknown): LayerFileSystem {
  if (type === 'ext4' || type === 'xfs') return type
  throw invalid(`fileSystem must be 'ext4' or 'xfs', but is ${shown(type)}`)
}

export function checkSize(sizeBytes: unknown, fileSystem: LayerFileSystem): number {
  const min = fileSystem === 'xfs' ? MIN_XFS_BYTES : MIN_SIZE_BYTES
  return checkNumber('sizeBytes', sizeBytes, { min, max: MAX_SIZE_BYTES, multipleOf: MiB })
}
