// A larger pool: file or device first, then the pool's own idea of its size.
import { nodePath } from '../device/node-path.js'
import { DmThinError, type ErrorCode } from '../errors.js'
import { poolTableLine, type PoolTable } from '../target/thin-pool.js'
import { DEVICE_FLAG } from '../kernel/port.js'
import type { SignalOption } from '../names.js'
import { sectors, sectorsToBytes } from '../units.js'
import { explained, poolStatusLine, poolTable, type PoolContext } from './context.js'
import { loopOf } from './open.js'
import { takeSectionLock } from './section-lock.js'

export interface GrowOptions extends SignalOption {
  /** New size of the data, in bytes, whole sectors. */
  readonly dataBytes?: number
  /** New size of the metadata, in bytes, whole sectors. */
  readonly metadataBytes?: number
}

/** New total sizes. For a pool over files the files grow; a device must have grown before. */
type GrowSizes = Readonly<Record<'dataBytes' | 'metadataBytes', number | undefined>>

export async function growPool(context: PoolContext, sizes: GrowSizes, signal?: AbortSignal): Promise<void> {
  const { port, name } = context
  const table = await poolTable(port, name, signal)
  await checkGrows(context, table, signal)
  if (sizes.metadataBytes !== undefined) await growBacking(context, table.metadataDevice, sizes.metadataBytes, signal)
  if (sizes.dataBytes !== undefined) await growBacking(context, table.dataDevice, sizes.dataBytes, signal)
  const lengthSectors = sizes.dataBytes === undefined ? table.lengthSectors : sectors(sizes.dataBytes)
  // A table shorter than the pool is accepted by the load and refused by the resume, which leaves the pool
  // suspended with the bad table live: so it is refused here.
  if (lengthSectors < table.lengthSectors)
    throw tooSmall(context, sectorsToBytes(table.lengthSectors), sizes.dataBytes!)
  const putBack = async (fault: DmThinError) => {
    await port.tableLoad({ name }, [poolTableLine(table)], 0)
    await port.resume({ name })
    throw fault
  }
  const reload = async () => {
    await port.tableLoad({ name }, [poolTableLine({ ...table, lengthSectors })], 0, signal)
    // Loaded but not live: the resume is not given up, it is what makes the pool usable again.
    await port.resume({ name }).catch(putBack)
    if (!(await hasGrown(context, sectorsToBytes(lengthSectors))))
      await putBack(refusal(context, 'DM_POOL_READ_ONLY', 'did not grow'))
  }
  // An `open` elsewhere would take the loaded table for an abandoned one.
  const lock = await takeSectionLock(port, name, signal)
  try {
    await explained(context, reload())
  } finally {
    if (lock !== undefined) port.release(lock)
  }
}

/**
 * Refused before a file has grown: a pool that the kernel would reload without growing it, and a suspended one, which
 * the reload would resume behind the back of whoever suspended it.
 */
async function checkGrows(context: PoolContext, table: PoolTable, signal?: AbortSignal): Promise<void> {
  const { port, name } = context
  const { flags } = await port.deviceStatus({ name }, signal)
  if ((flags & DEVICE_FLAG.suspended) !== 0) {
    throw refusal(context, 'DM_POOL_SUSPENDED', `is suspended; resume it with \`dmsetup resume ${name}\` to grow it`)
  }
  const status = await poolStatusLine(context, signal)
  if (!('totalDataBlocks' in status)) throw refusal(context, 'DM_POOL_FAILED', 'has failed, so it cannot grow')
  if (table.readOnly) throw refusal(context, 'DM_POOL_READ_ONLY', 'was opened read-only, so it cannot grow')
  if (status.needsCheck) {
    throw refusal(context, 'DM_POOL_READ_ONLY', 'cannot grow: its metadata needs a check (thin_check)')
  }
}

const refusal = ({ name }: PoolContext, code: ErrorCode, text: string): DmThinError =>
  new DmThinError(code, `pool ${name} ${text}`, { device: name })

/** The kernel answers success without growing when the metadata needs a check (dm-thin.c maybe_resize_data_dev). */
async function hasGrown(context: PoolContext, bytes: number): Promise<boolean> {
  const status = await poolStatusLine(context)
  return 'totalDataBlocks' in status && status.totalDataBlocks >= Math.floor(bytes / context.dataBlockBytes)
}

async function growBacking(context: PoolContext, number: string, bytes: number, signal?: AbortSignal): Promise<void> {
  const { port } = context
  const loop = await loopOf(port, number, signal)
  if (!loop) {
    const has = await port.blockSizeBytes(nodePath(number), signal)
    if (has < bytes) throw tooSmall(context, has, bytes)
    return
  }
  if (loop.sizeBytes > bytes) throw tooSmall(context, loop.sizeBytes, bytes)
  const file = await port.identify(loop.file, signal)
  if (file.sizeBytes < bytes) await port.growFile(loop.file, bytes, signal)
  await port.loopSetCapacity(loop.number, signal)
}

function tooSmall({ name }: PoolContext, has: number, asked: number): DmThinError {
  const text = `pool ${name}: ${asked} bytes asked for, but it stands at ${has}; pools only grow, and a device must be grown first`
  return new DmThinError('DM_INVALID_ARGUMENT', text, { device: name })
}
