// What a pool and its volumes share. Volumes hold this and not the pool, so that neither file imports the other.
import { nodePath } from '../device/node-path.js'
import { Pending } from '../device/pending.js'
import { DmThinError, ERRNO } from '../errors.js'
import {
  DEVICE_FLAG,
  deviceNumber,
  TABLE_FLAG,
  type ActivationGuard,
  type DeviceInfo,
  type KernelPort,
} from '../kernel/port.js'
import type { BlockSource } from '../metadata/block-source.js'
import { METADATA_BLOCK_BYTES } from '../metadata/block-source.js'
import { listThins } from '../metadata/reader.js'
import { parsePoolStatus, parsePoolTable, type PoolTable } from '../target/thin-pool.js'
import { sectorsToBytes } from '../units.js'
import type { Durability } from './commit-point.js'
import { DeviceIds } from './device-ids.js'
import type { PoolRecord } from './record.js'
import { readSnapshotTime, SnapshotClock } from './snapshot-clock.js'

export interface PoolContext {
  readonly port: KernelPort
  readonly name: string
  /** The pool's device number; thins name it in their tables. */
  readonly device: number
  /** `253:0` */
  readonly number: string
  /** Of the pool's device; another one after each start. */
  readonly uuid: string
  readonly dataBlockBytes: number
  /** Whether what is activated gets a link in /dev/mapper where no udev makes it. */
  readonly mapperLinks: boolean
  readonly durability: Durability
  readonly record: PoolRecord | undefined
  /** `/dev/loop1`: what the metadata lies on, for as long as the pool runs. */
  readonly metadataPath: string
  readonly pending: Pending
  readonly ids: DeviceIds
  readonly clock: SnapshotClock
}

/**
 * The uuid of an active volume is this prefix and its id. It is the same in every process, and the kernel refuses a
 * second device with the same uuid: that makes it the guard against activating one volume twice. The pool's device
 * number is in it because thins cannot outlive the pool's mapped device.
 */
export const volumeUuidPrefix = (poolDevice: number): string => `DMTHIN-${deviceNumber(poolDevice)}-`

/** `unasked`: devices of other programs are not looked for. */
export const activationGuard = ({ name, device }: PoolContext, unasked: boolean): ActivationGuard => ({
  lock: name,
  pool: device,
  ownPrefix: unasked ? '' : volumeUuidPrefix(device),
})

/**
 * Whether the pool still runs on the device number that it had. Where not, no volume of it is active: thins cannot
 * outlive their pool. Another pool may have the number by then, with volumes of the same ids and so of the same uuids.
 */
export async function isUp({ port, name, uuid, device }: PoolContext, signal?: AbortSignal): Promise<boolean> {
  const info = await port.deviceStatus({ device }, signal).catch((fault: DmThinError) => {
    if (fault.code === 'DM_NOT_FOUND') return undefined
    throw fault
  })
  return info !== undefined && (info.name === name || (uuid !== '' && info.uuid === uuid))
}

export async function checkUp(pool: PoolContext, signal?: AbortSignal): Promise<void> {
  if (await isUp(pool, signal)) return
  const text = `pool ${pool.name} was taken down since it was opened here: open it again`
  throw new DmThinError('DM_NOT_FOUND', text, { device: pool.name })
}

export async function contextOf(
  port: KernelPort,
  name: string,
  { device, uuid }: Pick<DeviceInfo, 'device' | 'uuid'>,
  { mapperLinks, durability }: Pick<PoolContext, 'mapperLinks' | 'durability'>,
  record: PoolRecord | undefined,
  signal?: AbortSignal,
): Promise<PoolContext> {
  const table = await poolTable(port, name, signal)
  const metadataPath = nodePath(table.metadataDevice)
  return {
    port,
    name,
    device,
    number: deviceNumber(device),
    uuid,
    dataBlockBytes: sectorsToBytes(table.blockSectors),
    mapperLinks,
    durability,
    record,
    metadataPath,
    pending: new Pending(`pool ${name}`),
    ids: new DeviceIds(abort => thinIds({ port, name }, abort)),
    clock: new SnapshotClock(() => readSnapshotTime(port, metadataPath)),
  }
}

export async function thinIds(context: Pick<PoolContext, 'port' | 'name'>, signal?: AbortSignal): Promise<number[]> {
  const source = await metadataOf(context, signal)
  return (await readable(context, listThins(source, { signal }))).map(thin => thin.id)
}

/** Reads metadata blocks of a live pool past the page cache, which is stale. */
export async function metadataOf(
  { port, name }: Pick<PoolContext, 'port' | 'name'>,
  signal?: AbortSignal,
): Promise<BlockSource> {
  const path = nodePath((await poolTable(port, name, signal)).metadataDevice)
  const blockCount = Math.floor((await port.blockSizeBytes(path, signal)) / METADATA_BLOCK_BYTES)
  return { blockCount, read: blocks => port.readBlocks(path, blocks, METADATA_BLOCK_BYTES, false, signal) }
}

export async function poolTable(port: KernelPort, name: string, signal?: AbortSignal): Promise<PoolTable> {
  const lines = await port.tableStatus({ name }, TABLE_FLAG.table | TABLE_FLAG.noflush, signal)
  const line = lines[0]
  if (line?.type !== 'thin-pool') {
    const what = line ? `a ${line.type} device` : 'a device without a table'
    throw new DmThinError('DM_NOT_A_POOL', `${JSON.stringify(name)} is ${what}, not a thin pool`, { device: name })
  }
  return parsePoolTable(line)
}

/** What the pool says of itself, without a commit. */
export async function poolStatusLine(
  { port, name }: Pick<PoolContext, 'port' | 'name'>,
  signal?: AbortSignal,
): Promise<ReturnType<typeof parsePoolStatus>> {
  const [line] = await port.tableStatus({ name }, TABLE_FLAG.noflush, signal)
  return parsePoolStatus(line?.parameters ?? '')
}

/**
 * Passes on what a call gives; when the kernel refused it with an errno that says little, looks at the pool and says
 * what is the matter: suspended, read-only, failed. Only a refusal costs the look.
 */
export function explained<T>(context: PoolContext, call: Promise<T>): Promise<T> {
  return call.catch(async (fault: unknown) => {
    throw fault instanceof DmThinError ? await explain(context, fault) : fault
  })
}

/** Passes on what reading the metadata gives. What cannot be read any more has mostly failed the pool before. */
export function readable<T>(context: Pick<PoolContext, 'port' | 'name'>, call: Promise<T>): Promise<T> {
  return call.catch(async (fault: unknown) => {
    const explains = fault instanceof DmThinError ? await explain(context, fault) : undefined
    throw explains?.code === 'DM_POOL_FAILED' ? explains : fault
  })
}

const WORTH_A_LOOK = new Set(['DM_KERNEL', 'DM_TABLE_REFUSED', 'DM_POOL_READ_ONLY', 'DM_NOT_FOUND'])

export async function explain(
  { port, name }: Pick<PoolContext, 'port' | 'name'>,
  fault: DmThinError,
): Promise<DmThinError> {
  if (!WORTH_A_LOOK.has(fault.code)) return fault
  const look = async () => {
    const info = await port.deviceStatus({ name })
    if ((info.flags & DEVICE_FLAG.suspended) !== 0) {
      const hint = `resume it with \`dmsetup resume ${name}\``
      return fault.refined('DM_POOL_SUSPENDED', `pool ${name} is suspended; ${hint} (${fault.message})`)
    }
    const status = await poolStatusLine({ port, name })
    if (status.mode === 'fail' || status.mode === 'error') {
      const hint = 'take it down and run thin_check, then thin_repair, on its metadata'
      return fault.refined('DM_POOL_FAILED', `pool ${name} has failed; ${hint} (${fault.message})`)
    }
    if (status.mode === 'ro') {
      const why = status.needsCheck ? 'its metadata needs a check (thin_check)' : 'it may be out of metadata space'
      return fault.refined('DM_POOL_READ_ONLY', `pool ${name} is read-only: ${why} (${fault.message})`)
    }
    return fault
  }
  return look().catch((second: unknown) => {
    const gone = second instanceof DmThinError && second.errno === ERRNO.ENXIO
    return gone ? fault.refined('DM_NOT_FOUND', `pool ${name} is not active any more (${fault.message})`) : fault
  })
}
