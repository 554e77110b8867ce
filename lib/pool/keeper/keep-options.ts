// Options of pool.keep() and their checks.
import type { DmThinError } from '../../base/errors.js'
import { type SignalOption, checkNumber, checkOptions, invalid, shown } from '../../base/options.js'
import { GiB, MAX_METADATA_BYTES, MiB, SECTOR_BYTES } from '../../base/units.js'
import type { SpaceStatus } from '../state/status.js'

/** One of the two devices of a pool: `data` has the blocks of the volumes, `metadata` their mappings. */
export type PoolRole = 'data' | 'metadata'

/** The request of a keeper to the hook that grows a block device. */
export interface ExtendRequest {
  /** Name of the mapped device of the pool that is low on space. */
  readonly pool: string
  /** The device of the pool that must grow. */
  readonly role: PoolRole
  /** `/dev/block/MAJOR:MINOR` of the device. */
  readonly device: string
  /** Its present size in bytes. */
  readonly sizeBytes: number
  /** The size in bytes that it must have at least when the hook resolves. */
  readonly wantedBytes: number
  /** Aborted when the keeper stops, and after `extendTimeoutMs`. */
  readonly signal: AbortSignal
}

/** The rule by which one device of the pool grows. */
export interface GrowthOptions {
  /**
   * The device grows if at most this many bytes are free. Default: a quarter of the size that the device has when the
   * keeper starts, within 64 MiB to 4 GiB for data and 4 to 64 MiB for metadata. The value must cover what fast writers
   * write while the pool grows, which takes several system calls.
   */
  readonly growBelowBytes?: number
  /**
   * The device grows in steps of this many bytes, until a whole step more than `growBelowBytes` is free. The distance
   * delays the next growth. Default: `growBelowBytes`.
   */
  readonly stepBytes?: number
  /** The largest size in bytes. Default: for data none; for metadata 15.875 GiB, the limit of the kernel. */
  readonly maxBytes?: number
  /**
   * The least size in bytes, to which the device grows immediately. Default: for metadata on a file 64 MiB, which is
   * sparse; otherwise 0. Metadata needs space in advance: a pool that runs out of metadata becomes read-only
   * immediately.
   */
  readonly minBytes?: number
  /**
   * Grows the block device, for example with `lvextend`. Required for a block device that is not a loop device. Default:
   * none.
   */
  readonly extend?: (request: ExtendRequest) => void | PromiseLike<void>
}

/** One growth of the pool. */
export interface Growth {
  /** The device of the pool that has grown. */
  readonly role: PoolRole
  /** The size of the device before the growth, in bytes. */
  readonly fromBytes: number
  /** Its size after the growth. */
  readonly toBytes: number
}

/** Options of `pool.keep()`. */
export interface KeepOptions extends SignalOption {
  /** Growth of the data. Default: the defaults of `GrowthOptions`. */
  readonly data?: GrowthOptions
  /** Growth of the metadata. Default: the defaults of `GrowthOptions`. */
  readonly metadata?: GrowthOptions
  /**
   * For a pool on files: space in bytes that stays free on the file system below. On a full disk, writes to a sparse
   * file fail although the pool has space. Default: a twentieth of that file system, at most 1 GiB.
   */
  readonly hostReserveBytes?: number
  /**
   * Interval in milliseconds at which the pool is checked without an event of the kernel, and a growth that failed is
   * retried. A full pool is checked every 5 000 ms at least, so that its writers wait on: the kernel fails them after
   * `no_space_timeout` of dm_thin_pool, by default 60 s. If you lower that, lower this too. Default 5 000.
   */
  readonly lookEveryMs?: number
  /** Time limit of `extend` in milliseconds. Default 30 000. */
  readonly extendTimeoutMs?: number
  /** Is called after each growth. Default: none. */
  readonly onGrow?: (growth: Growth) => void
  /**
   * Is called if the pool could not grow (`DM_POOL_NOT_GROWN` with `missingBytes`) or could not be checked (the error of
   * that call). The keeper retries. The same error of one device is reported once, until that device has grown.
   * Default: none.
   */
  readonly onError?: (error: DmThinError) => void
  /**
   * Is called when this keeper becomes the active one: immediately, or after another keeper has ended. Default: none.
   */
  readonly onActive?: () => void
  /** Stops the keeper, as `stop()` does. Default: none. */
  readonly signal?: AbortSignal
}

/** Options with the defaults that do not depend on the pool. */
export interface KeepPlan extends Pick<KeepOptions, 'hostReserveBytes' | 'onGrow' | 'onError' | 'onActive'> {
  readonly data: GrowthOptions
  readonly metadata: GrowthOptions
  readonly lookEveryMs: number
  readonly extendTimeoutMs: number
}

/** Growth options with all defaults applied. */
export type GrowthRule = Required<Omit<GrowthOptions, 'extend'>>

const HOOKS = ['onGrow', 'onError', 'onActive'] as const

export function checkKeepOptions(options: KeepOptions): KeepPlan {
  const known = ['data', 'metadata', 'hostReserveBytes', 'lookEveryMs', 'extendTimeoutMs', ...HOOKS, 'signal']
  checkOptions(options, known, 'keep')
  for (const name of HOOKS) checkFunction(name, options[name])
  const { hostReserveBytes } = options
  if (hostReserveBytes !== undefined) checkNumber('hostReserveBytes', hostReserveBytes, { min: 0 })
  return {
    ...options,
    data: checkGrowth('data', options.data ?? {}, Number.MAX_SAFE_INTEGER),
    metadata: checkGrowth('metadata', options.metadata ?? {}, MAX_METADATA_BYTES),
    lookEveryMs: checkNumber('lookEveryMs', options.lookEveryMs ?? 5_000, { min: 10, max: 2 ** 31 - 1 }),
    extendTimeoutMs: checkNumber('extendTimeoutMs', options.extendTimeoutMs ?? 30_000, { min: 1, max: 2 ** 31 - 1 }),
  }
}

function checkGrowth(role: PoolRole, options: GrowthOptions, max: number): GrowthOptions {
  checkOptions(options, ['growBelowBytes', 'stepBytes', 'maxBytes', 'minBytes', 'extend'], role)
  checkFunction(`${role}.extend`, options.extend)
  const { growBelowBytes, stepBytes, maxBytes, minBytes } = options
  if (growBelowBytes !== undefined) checkNumber(`${role}.growBelowBytes`, growBelowBytes, { min: 1, max })
  if (stepBytes !== undefined) checkNumber(`${role}.stepBytes`, stepBytes, { min: SECTOR_BYTES, max })
  if (maxBytes !== undefined) checkNumber(`${role}.maxBytes`, maxBytes, { min: SECTOR_BYTES, max })
  if (minBytes !== undefined) checkNumber(`${role}.minBytes`, minBytes, { min: 0, max: maxBytes ?? max })
  return options
}

function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') {
    throw invalid(`${name} must be a function, but is ${shown(value)}`)
  }
}

const LIMITS = {
  data: { least: 64 * MiB, most: 4 * GiB, max: Number.MAX_SAFE_INTEGER, fileBytes: 0 },
  metadata: { least: 4 * MiB, most: 64 * MiB, max: MAX_METADATA_BYTES, fileBytes: 64 * MiB },
} as const

/** Returns the rule for a device of this size. */
export function ruleOf(
  role: PoolRole,
  options: GrowthOptions,
  { totalBytes }: Pick<SpaceStatus, 'totalBytes'>,
  isFile: boolean,
): GrowthRule {
  const { least, most, max, fileBytes } = LIMITS[role]
  const quarter = Math.floor(totalBytes / 4)
  const growBelowBytes = options.growBelowBytes ?? Math.min(Math.max(quarter, least), most)
  const maxBytes = options.maxBytes ?? max
  return {
    growBelowBytes,
    stepBytes: options.stepBytes ?? growBelowBytes,
    maxBytes,
    minBytes: options.minBytes ?? (isFile ? Math.min(fileBytes, maxBytes) : 0),
  }
}
