// What a pool and its volumes share. Volumes hold this and not the pool, so that neither file imports the other.
import { nodePath } from '../../block/node-path.js'
import { Pending } from '../../base/pending.js'
import { DmThinError, ERRNO, hasCode } from '../../base/errors.js'
import {
  DEVICE_FLAG,
  TABLE_FLAG,
  type ActivationGuard,
  type DeviceAddress,
  type DeviceInfo,
  type KernelPort,
  type KnownPool,
  type TargetLine,
} from '../../kernel/port/port.js'
import { deviceNumber } from '../../base/device-number.js'
import { type BlockSource, METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import { listThins } from '../../metadata/reader.js'
import { parsePoolStatus, parsePoolTable, type PoolTable } from '../../target/thin-pool.js'
import { sectorsToBytes } from '../../base/units.js'
import type { Durability } from './durability.js'
import { DeviceIds } from './thin-ids.js'
import type { PoolRecord } from './record.js'
import { readSnapshotTime, SnapshotClock } from './snapshot-clock.js'

export interface PoolContext {
  readonly port: KernelPort
  /** For people, and for the lock. */
  readonly name: string
  /** What every call names the pool by: its uuid or, where it has none, its device number. */
  readonly address: DeviceAddress
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
  /** `7:1`, as it stands in the table. */
  readonly metadataDevice: string
  /** `/dev/loop1`: what the metadata lies on, for as long as the pool runs. */
  readonly metadataPath: string
  readonly pending: Pending
  readonly ids: DeviceIds
  readonly clock: SnapshotClock
}

/** What the uuid of a pool that this library has started begins with. What follows is new at each start. */
export const POOL_UUID_PREFIX = 'DMTHIN-POOL-'

type PoolIdentity = Pick<KnownPool, 'device' | 'uuid'>

/**
 * Whether the uuid of a volume names this start of the pool. Then a device with that uuid is a volume of this pool, and
 * nobody needs to ask whether the pool still runs.
 */
export const isNamedByVolumes = ({ uuid }: Pick<PoolIdentity, 'uuid'>): boolean => uuid.startsWith(POOL_UUID_PREFIX)

/**
 * The uuid of an active volume is this prefix and its id. It is the same in every process, and the kernel refuses a
 * second device with the same uuid: that makes it the guard against activating one volume twice. In it are the random
 * part of the pool's uuid or, if another program has started the pool, the pool's device number: thins cannot outlive
 * the pool's mapped device.
 */
export const volumeUuidPrefix = (pool: PoolIdentity): string =>
  `DMTHIN-${isNamedByVolumes(pool) ? pool.uuid.slice(POOL_UUID_PREFIX.length) : deviceNumber(pool.device)}-`

/** `unchecked`: devices of other programs are not looked for. */
export const activationGuard = (pool: PoolContext, unchecked: boolean): ActivationGuard => ({
  pool: knownPool(pool),
  ownPrefix: unchecked ? '' : volumeUuidPrefix(pool),
})

export const knownPool = ({ device, name, uuid }: PoolContext): KnownPool => ({ device, name, uuid })

/** The address that stays a device's own: its uuid or, where it has none, its number. Errors call it by its name. */
export const addressOf = ({ name, uuid, device }: KnownPool): DeviceAddress =>
  uuid === '' ? { device, label: name } : { uuid, label: name }

/**
 * Whether the pool still runs on the device number that it had. Where not, no volume of it is active: thins cannot
 * outlive their pool. Another pool may have the number by then, with volumes of the same ids and so of the same uuids.
 */
export async function isUp({ port, name, uuid, device }: PoolContext, signal?: AbortSignal): Promise<boolean> {
  const info = await port.deviceStatus({ device }, signal).catch((fault: DmThinError) => {
    if (fault.code === 'DM_NOT_FOUND') return undefined
    throw fault
  })
  return info !== undefined && (uuid === '' ? info.name === name : info.uuid === uuid)
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
  const address = addressOf({ name, uuid, device })
  const pool = { port, name, address }
  const table = await poolTable(pool, signal)
  const metadataPath = nodePath(table.metadataDevice)
  return {
    ...pool,
    device,
    number: deviceNumber(device),
    uuid,
    dataBlockBytes: sectorsToBytes(table.blockSectors),
    mapperLinks,
    durability,
    record,
    metadataDevice: table.metadataDevice,
    metadataPath,
    pending: new Pending(`pool ${name}`),
    ids: new DeviceIds(() => thinIds(pool)),
    clock: new SnapshotClock(() => readSnapshotTime(port, metadataPath)),
  }
}

/** What is needed to ask about a pool. */
export type PoolAddress = Pick<PoolContext, 'port' | 'name' | 'address'>

export async function thinIds(pool: PoolAddress, signal?: AbortSignal): Promise<number[]> {
  const thins = await readMetadata(pool, signal, source => listThins(source, { signal }))
  return thins.map(thin => thin.id)
}

/**
 * Reads the metadata of a live pool. Where `read` finds it corrupt although its device has grown meanwhile, it reads it
 * again: it looked for the new blocks on the device as it was before.
 */
export async function readMetadata<T>(
  pool: PoolAddress,
  signal: AbortSignal | undefined,
  read: (source: BlockSource) => Promise<T>,
): Promise<T> {
  for (let source = await metadataOf(pool, signal); ;) {
    try {
      return await read(source)
    } catch (fault) {
      const now = hasCode(fault, 'DM_METADATA_CORRUPT')
        ? await metadataOf(pool, signal).catch(() => undefined)
        : undefined
      if (!now || now.blockCount === source.blockCount) throw await whyUnreadable(pool, fault)
      source = now
    }
  }
}

/** Reads metadata blocks of a live pool past the page cache, which is stale. */
async function metadataOf(pool: PoolAddress, signal?: AbortSignal): Promise<BlockSource> {
  const { port } = pool
  const path = nodePath((await poolTable(pool, signal)).metadataDevice)
  const blockCount = Math.floor((await port.blockSizeBytes(path, signal)) / METADATA_BLOCK_BYTES)
  return { blockCount, read: blocks => port.readBlocks(path, blocks, METADATA_BLOCK_BYTES, false, signal) }
}

export async function poolTable({ port, name, address }: PoolAddress, signal?: AbortSignal): Promise<PoolTable> {
  const lines = await port.tableStatus(address, TABLE_FLAG.table | TABLE_FLAG.noflush, signal)
  return tableOfPool(name, lines)
}

/** Rejects what is not a pool's table. */
export function tableOfPool(name: string, [line]: readonly TargetLine[]): PoolTable {
  if (line?.type !== 'thin-pool') {
    const what = line ? `a ${line.type} device` : 'a device without a table'
    throw new DmThinError('DM_NOT_A_POOL', `${JSON.stringify(name)} is ${what}, not a thin pool`, { device: name })
  }
  return parsePoolTable(line)
}

/** What the pool says of itself, without a commit. */
export async function poolStatusLine(
  { port, address }: PoolAddress,
  signal?: AbortSignal,
): Promise<ReturnType<typeof parsePoolStatus>> {
  const [line] = await port.tableStatus(address, TABLE_FLAG.noflush, signal)
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

/** What cannot be read any more has mostly failed the pool before. */
async function whyUnreadable(pool: PoolAddress, fault: unknown): Promise<unknown> {
  const explains = fault instanceof DmThinError ? await explain(pool, fault) : undefined
  return explains?.code === 'DM_POOL_FAILED' ? explains : fault
}

const WORTH_A_LOOK = new Set(['DM_KERNEL', 'DM_TABLE_REFUSED', 'DM_POOL_READ_ONLY', 'DM_NOT_FOUND'])

export async function explain(pool: PoolAddress, fault: DmThinError): Promise<DmThinError> {
  const { port, name, address } = pool
  if (!WORTH_A_LOOK.has(fault.code)) return fault
  const look = async () => {
    const info = await port.deviceStatus(address)
    if ((info.flags & DEVICE_FLAG.suspended) !== 0) {
      const hint = `resume it with \`dmsetup resume ${name}\``
      return fault.refined('DM_POOL_SUSPENDED', `pool ${name} is suspended; ${hint} (${fault.message})`)
    }
    const status = await poolStatusLine(pool)
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
