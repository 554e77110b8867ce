// Growth of a pool: the file or device first, the pool's table afterwards.
import { nodePath } from '../../block/node-path.js'
import { DmThinError, type ErrorCode } from '../../base/errors.js'
import type { PoolTable } from '../../target/thin-pool.js'
import { parseDeviceNumber } from '../../base/device-number.js'
import { METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import { checkNumber, checkOptions, type SignalOption } from '../../base/options.js'
import { MAX_METADATA_BYTES, SECTOR_BYTES, sectors, sectorsToBytes } from '../../base/units.js'
import { checkUp, poolStatusLine, poolTable, type PoolContext } from '../state/context.js'
import { explained } from '../state/explain-error.js'
import { deviceKey, withPoolLock, type PoolLock } from '../state/locks.js'
import { loopOf } from '../../block/find-loop.js'
import { recordLength } from './record-check.js'
import { refuseSuspended, reload } from './reload.js'

/** Options of `ThinPool.grow`. */
export interface GrowOptions extends SignalOption {
  /** New size of the data device in bytes, whole sectors. Default: unchanged. */
  readonly dataBytes?: number
  /** New size of the metadata device in bytes, whole sectors. Default: unchanged. */
  readonly metadataBytes?: number
}

/** New total sizes. Files grow with the pool; block devices must have been grown before. */
export type GrowSizes = Readonly<Record<'dataBytes' | 'metadataBytes', number | undefined>>

export function checkGrowOptions(options: GrowOptions): GrowSizes {
  checkOptions(options, ['dataBytes', 'metadataBytes', 'signal'], 'grow')
  const size = (name: string, value: number | undefined) =>
    value === undefined ? undefined : checkNumber(name, value, { min: SECTOR_BYTES, multipleOf: SECTOR_BYTES })
  return {
    dataBytes: size('dataBytes', options.dataBytes),
    metadataBytes: size('metadataBytes', options.metadataBytes),
  }
}

async function growPool(context: PoolContext, sizes: GrowSizes, lock: PoolLock, signal?: AbortSignal): Promise<void> {
  const { port } = context
  const table = await poolTable(context, signal)
  await checkGrows(context, table, signal)
  const numbers = [table.dataDevice, table.metadataDevice]
  await lock.takeBackings(await Promise.all(numbers.map(each => deviceKey(port, parseDeviceNumber(each)!, signal))))
  const lengthSectors = sizes.dataBytes === undefined ? table.lengthSectors : sectors(sizes.dataBytes)
  // The kernel accepts a table shorter than the pool at the load and rejects it at the resume, which leaves the pool
  // suspended with the bad table live. It is therefore rejected here.
  if (lengthSectors < table.lengthSectors)
    throw tooSmall(context, sectorsToBytes(table.lengthSectors), sizes.dataBytes!)
  if (sizes.metadataBytes !== undefined) await growBacking(context, table, 'metadata', sizes.metadataBytes, signal)
  if (sizes.dataBytes !== undefined) await growBacking(context, table, 'data', sizes.dataBytes, signal)
  const check = async () => {
    if (!(await hasGrown(context, sizes))) throw refusal(context, 'DM_POOL_READ_ONLY', 'did not grow')
  }
  await explained(context, reload(context, table, { ...table, lengthSectors }, signal, check))
}

/**
 * Grows the pool while no other call creates, opens, grows or removes it, and records its length. `decide` returns the
 * sizes when the lock is held; undefined leaves the pool as it is.
 */
export function growAlone(
  context: PoolContext,
  signal: AbortSignal | undefined,
  decide: () => Promise<GrowSizes | undefined>,
): Promise<void> {
  return withPoolLock(context.port, context.name, signal, async lock => {
    await checkUp(context, signal)
    const sizes = await decide()
    if (sizes === undefined) return
    await growPool(context, sizes, lock, signal)
    await recordLength(context)
  })
}

/**
 * Rejects, before a file has grown, a pool that the kernel would reload without growing it, and a suspended pool, which
 * the reload would resume although another program suspended it.
 */
async function checkGrows(context: PoolContext, table: PoolTable, signal?: AbortSignal): Promise<void> {
  await refuseSuspended(context, signal)
  const status = await poolStatusLine(context, signal)
  if (!('totalDataBlocks' in status)) throw refusal(context, 'DM_POOL_FAILED', 'has failed, so it cannot grow')
  if (table.readOnly) throw refusal(context, 'DM_POOL_READ_ONLY', 'was opened read-only, so it cannot grow')
  if (status.needsCheck) {
    throw refusal(context, 'DM_POOL_READ_ONLY', 'cannot grow: its metadata needs a check; call pool.repair()')
  }
}

const refusal = ({ name }: PoolContext, code: ErrorCode, text: string): DmThinError =>
  new DmThinError(code, `pool ${name} ${text}`, { device: name })

/**
 * Returns true if the pool has grown. The kernel reports success without growing if the metadata needs a check
 * (dm-thin.c maybe_resize_data_dev).
 */
async function hasGrown(context: PoolContext, { dataBytes, metadataBytes }: GrowSizes): Promise<boolean> {
  const status = await poolStatusLine(context)
  if (!('totalDataBlocks' in status)) return false
  const dataBlocks = Math.floor((dataBytes ?? 0) / context.dataBlockBytes)
  const metadataBlocks = Math.floor(Math.min(metadataBytes ?? 0, MAX_METADATA_BYTES) / METADATA_BLOCK_BYTES)
  return status.totalDataBlocks >= dataBlocks && status.totalMetadataBlocks >= metadataBlocks
}

async function growBacking(
  context: PoolContext,
  { dataDevice, metadataDevice }: PoolTable,
  role: 'data' | 'metadata',
  bytes: number,
  signal?: AbortSignal,
): Promise<void> {
  const { port } = context
  const number = role === 'data' ? dataDevice : metadataDevice
  const loop = await loopOf(port, number, signal)
  if (!loop) {
    const has = await port.blockSizeBytes(nodePath(number), signal)
    if (has < bytes) throw tooSmall(context, has, bytes)
    return
  }
  // The kernel uses all of the metadata device, and as much of the data device as the pool's table says.
  if (loop.sizeBytes > bytes && role === 'metadata') throw tooSmall(context, loop.sizeBytes, bytes)
  if (loop.sizeBytes >= bytes) return
  const file = await port.identify(loop.file, signal)
  if (file.device !== loop.backingDevice || file.inode !== loop.backingInode) {
    const text = `pool ${context.name}: the file of /dev/loop${loop.number} is no longer at ${loop.file}, which is another file`
    throw new DmThinError('DM_FILE_MISSING', text, { device: loop.file })
  }
  if (file.sizeBytes < bytes) await port.growFile(loop.file, bytes, signal)
  await port.loopSetCapacity(loop.number, signal)
}

function tooSmall({ name }: PoolContext, has: number, asked: number): DmThinError {
  const text = `pool ${name}: ${asked} bytes were requested, but the current size is ${has}; pools only grow, and a device must be grown first`
  return new DmThinError('DM_INVALID_ARGUMENT', text, { device: name })
}
