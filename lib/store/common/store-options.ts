// Options of the store's calls, and their validation.
import type { CheckDepth } from '../../pool/check/examine-metadata.js'
import { checkHook, type MetadataCheck } from '../../pool/check/check-before-start.js'
import type { CreatePoolOptions, DeviceSource } from '../../pool/lifecycle/pool-options.js'
import { checkKeepOptions, type KeepOptions } from '../../pool/keeper/keep-options.js'
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
import type { Labels, LayerFileSystem } from './layer-types.js'

/** The pool of a store. The first `open` records it. Later calls compare the options that are passed with the records. */
export interface StorePoolOptions extends Pick<CreatePoolOptions, 'dataBlockBytes' | 'skipBlockZeroing'> {
  /** The name of the pool's mapped device. Default: `layers-` and eight random hexadecimal digits, chosen once. */
  readonly name?: string
  /** The path of a block device, or a file. Default: the sparse file `data.img` of 100 GiB in the store's directory. */
  readonly data?: string | DeviceSource
  /**
   * The path of a block device, or a file. Default: the file `metadata.img` of 256 MiB in the store's directory, with its
   * space allocated.
   */
  readonly metadata?: string | DeviceSource
  /**
   * Accepts a pool that has volumes or a transaction id but no records. Its volumes are not changed (finding
   * `volume-without-layer`), and its transaction id is increased, which makes the pool unusable for another program that
   * owns it. Default false: `open` rejects with `DM_STORE_MISMATCH`.
   */
  readonly adopt?: boolean
}

/** Options of `LayerStore.open`. */
export interface OpenStoreOptions extends SignalOption {
  /** The directory of the records, and of the pool's files by default. Created if it does not exist. */
  readonly directory: string
  /** The pool. Default: files in `directory`, attached to loop devices, for development and small machines. */
  readonly pool?: StorePoolOptions
  /** The file system of layers without a parent. Default `ext4`. */
  readonly fileSystem?: LayerFileSystem
  /** The size of the file system of layers without a parent, in bytes, whole MiB. Default 10 GiB. */
  readonly sizeBytes?: number
  /**
   * Discards the blocks of removed layers before their deletion, so that they are free on the devices below the pool too.
   * Default: true if the data device of the pool is a file, which would keep its size otherwise; false for block devices.
   */
  readonly discard?: boolean
  /**
   * The reserved part of the pool's data and of its metadata, in percent, 0 to 50. It is for removals and for existing
   * layers: if less is free, `prepare`, `view`, `warm` and imports reject with `DM_POOL_FULL`. The same part of the file
   * system below a pool's file is reserved, at most 1 GiB. Default 10.
   */
  readonly reservePercent?: number
  /**
   * Keeps the pool from running full while the store is open, as `ThinPool.keep` does; `{}` for its defaults. The space of
   * metadata is allocated when it grows. The reserve is then at most half of `growBelowBytes`, so that the pool grows
   * before it takes effect. Default: the pool is not kept.
   */
  readonly keep?: KeepOptions
  /**
   * The check of the pool's metadata before the pool is started, as that of `ThinPool.open`: if it finds more than leaked
   * blocks, the call rejects with `DM_CHECK_FAILED`, whose `detail` is the state, and the pool is not started. There is no
   * check if the pool is running already, or does not exist yet. Default `false`.
   */
  readonly check?: CheckDepth | false | MetadataCheck
  /** Creates file systems. Default: `mkfs.ext4` and `mkfs.xfs` of the machine, the only programs that a store starts. */
  readonly format?: Formatter
}

/** Options of `LayerStore.prepare`. */
export interface PrepareOptions extends SignalOption {
  /** Labels of the layer. Default none. */
  readonly labels?: Labels
  /**
   * The size of the layer's file system in bytes, whole MiB. Default: that of the parent, or that of the store. If it is
   * larger than that of the parent, the file system is grown before the call resolves. If it is smaller, the call rejects
   * with `DM_INVALID_ARGUMENT`. A view must have the size of its parent.
   */
  readonly sizeBytes?: number
  /** The file system of a layer without a parent. Default: that of the store. With a parent it must be that of the parent. */
  readonly fileSystem?: LayerFileSystem
  /**
   * True if the layer is a block device for a virtual machine, whose content is untrusted input. Neither the store nor
   * `Layer.mount` mounts it, `commit` does not check its content, and a larger `sizeBytes` grows the device only. All
   * layers above a raw layer are raw. Default: that of the parent; false without a parent.
   */
  readonly raw?: boolean
}

/** The sources of the pool, as they are recorded. */
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
/** The smallest file system that xfsprogs creates. */
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
  readonly keep: KeepOptions | undefined
  readonly check: CheckDepth | MetadataCheck | undefined
  readonly format: Formatter
  readonly signal: AbortSignal | undefined
}

export function checkOpen(options: OpenStoreOptions): StorePlan {
  const known = [
    'directory',
    'pool',
    'fileSystem',
    'sizeBytes',
    'discard',
    'reservePercent',
    'keep',
    'check',
    'format',
    'signal',
  ]
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
    keep: options.keep && checkKeepOptions(options.keep),
    check: checkHook(options.check),
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

/** Converts a path to a source. The pool checks the fields of a source. */
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
