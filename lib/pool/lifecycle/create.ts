// Creation of a pool's mapped device: for `create`, which formats the metadata, and for `open`, which starts the
// existing pool.
import { undefinedIf, DmThinError, ERRNO, throwIfAborted } from '../../base/errors.js'
import { randomUUID } from 'node:crypto'
import type { Rollback } from '../../base/rollback.js'
import type { DeviceInfo } from '../../kernel/port/device-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import { deviceNumber } from '../../base/device-number.js'
import { classifySuperblock, FIRST_BLOCKS, type Superblock } from '../../metadata/superblock.js'
import { METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import { poolTableLine, type PoolTable } from '../../target/thin-pool.js'
import { invalid } from '../../base/options.js'
import { MAX_METADATA_BYTES, SECTOR_BYTES, sectors } from '../../base/units.js'
import { attachBacking, findBoth, type Backing } from './backing.js'
import { examineBefore, runCheck } from '../check/check-before-start.js'
import { resolvingCall, type PoolState } from '../check/pool-states.js'
import { addressOf, POOL_UUID_PREFIX, poolStatusLine } from '../state/context.js'
import type { PoolLock } from '../state/locks.js'
import { fieldsFor } from '../state/table-options.js'
import { MIN_METADATA_BYTES, type PoolPlan } from './pool-options.js'
import { eraseSignatures, lockNodes, refuseSignatures } from './refuse-signatures.js'

/** Creates a pool on blank metadata. Rolls back the completed steps if one fails. */
export async function createPool(
  port: KernelPort,
  plan: PoolPlan,
  format: 'blank' | 'overwrite',
  lock: PoolLock,
  rollback: Rollback,
  signal?: AbortSignal,
): Promise<DeviceInfo> {
  await refuseTakenName(port, plan.name, signal)
  const { data, metadata } = await attachBoth(port, plan, lock, rollback, true, signal)
  checkDevices(plan, data, metadata)
  const unlock = await lockNodes(port, [data, metadata], rollback, signal)
  await refuseDataInUse(port, data, signal)
  const blockBytes = plan.dataBlockBytes!
  if (data.sizeBytes < blockBytes)
    throw invalid(`data has ${data.sizeBytes} bytes, less than one block of ${blockBytes}`)
  const kind = await readSuperblock(port, metadata, signal)
  const isBlank = kind.kind === 'blank' && kind.allBlank
  if (format === 'overwrite') {
    if (!isBlank) await port.zeroBlocks(metadata.path, [0], METADATA_BLOCK_BYTES, signal)
    await eraseSignatures(port, data, signal)
    await eraseSignatures(port, metadata, signal)
  } else {
    if (!isBlank) throw notBlank(metadata, kind.kind === 'pool' ? 'a thin pool' : 'data')
    await refuseSignatures(port, 'data', data, signal)
    await refuseSignatures(port, 'metadata', metadata, signal)
  }
  const info = await startPool(port, plan, blockBytes, data, metadata, rollback, signal)
  await unlock()
  return info
}

/** Is called with the path of the metadata that a pool is about to be started from. */
export type BeforeStart = (metadataPath: string) => Promise<void>

/** Starts the pool that the metadata describes. Never formats. */
export async function restartPool(
  port: KernelPort,
  plan: PoolPlan,
  lock: PoolLock,
  rollback: Rollback,
  beforeStart: BeforeStart,
  signal?: AbortSignal,
): Promise<DeviceInfo> {
  const { data, metadata } = await attachBoth(port, plan, lock, rollback, false, signal)
  checkDevices(plan, data, metadata)
  await refuseDataInUse(port, data, signal)
  const superblock = await checkedSuperblock(port, plan, { data, metadata }, lock, signal)
  const blockBytes = superblock.dataBlockSizeSectors * SECTOR_BYTES
  if (plan.dataBlockBytes !== undefined && plan.dataBlockBytes !== blockBytes) {
    throw mismatch(plan.name, 'dataBlockBytes', blockBytes, plan.dataBlockBytes)
  }
  const blocks = Math.floor(data.sizeBytes / blockBytes)
  if (blocks < superblock.dataSpaceMap.blocks) {
    throw mismatch(plan.name, 'data blocks', superblock.dataSpaceMap.blocks, blocks)
  }
  // The kernel would grow the pool to a longer table, and a pool never shrinks. A larger device is therefore left to
  // grow().
  const sizeBytes = superblock.dataSpaceMap.blocks * blockBytes || data.sizeBytes
  await beforeStart(metadata.path)
  return startPool(port, plan, blockBytes, { ...data, sizeBytes }, metadata, rollback, signal)
}

/** Returns the superblock of a pool that is not running, read again after the caller's check, which may change it. */
async function checkedSuperblock(
  port: KernelPort,
  plan: PoolPlan,
  { data, metadata }: { readonly data: Backing; readonly metadata: Backing },
  lock: PoolLock,
  signal?: AbortSignal,
): Promise<Superblock> {
  const { path } = metadata
  const first = await superblockOf(port, plan.name, metadata, signal)
  const { check } = plan
  if (check === undefined) return first
  if (typeof check === 'string') {
    const atRest = { port, path, metadataBytes: metadata.sizeBytes, dataBytes: data.sizeBytes }
    await examineBefore(check, plan, atRest, signal)
    return first
  }
  await lock.waitFor(() => runCheck(check, plan.name, { path, needsCheck: first.needsCheck, signal }))
  throwIfAborted(signal)
  return superblockOf(port, plan.name, metadata, signal)
}

async function superblockOf(
  port: KernelPort,
  name: string,
  metadata: Backing,
  signal?: AbortSignal,
): Promise<Superblock> {
  const found = await readSuperblock(port, metadata, signal)
  if (found.kind === 'blank') {
    const hint = 'ThinPool.create creates a pool on it'
    throw new DmThinError('DM_METADATA_BLANK', `${metadata.path} is blank: it contains no pool; ${hint}`, {
      device: metadata.path,
    })
  }
  if (found.kind !== 'pool') {
    throw corrupt(name, metadata, `does not contain readable pool metadata: ${found.detail}`, 'superblock-damaged')
  }
  // The kernel would reject the resume, without a reason.
  const wanted = found.superblock.metadataSpaceMap.blocks * METADATA_BLOCK_BYTES
  if (metadata.sizeBytes < wanted) {
    throw corrupt(name, metadata, `has ${metadata.sizeBytes} bytes, the metadata on it ${wanted}`, 'metadata-short')
  }
  return found.superblock
}

function corrupt(name: string, { path }: Backing, what: string, state: PoolState): DmThinError {
  const text = `${path} ${what}; call ${resolvingCall(state, name)}`
  return new DmThinError('DM_METADATA_CORRUPT', text, { device: path, block: 0, detail: state })
}

export function mismatch(name: string, what: string, is: unknown, asked: unknown): DmThinError {
  const text = `pool ${name}: ${what} is ${String(is)}, but ${String(asked)} was requested`
  return new DmThinError('DM_POOL_MISMATCH', text, { device: name })
}

export const wantedTable = (plan: PoolPlan, blockBytes: number, data: Backing, metadata: Backing): PoolTable => ({
  lengthSectors: sectors(data.sizeBytes),
  metadataDevice: deviceNumber(metadata.device),
  dataDevice: deviceNumber(data.device),
  blockSectors: sectors(blockBytes),
  ...fieldsFor(plan),
})

async function startPool(
  port: KernelPort,
  plan: PoolPlan,
  blockBytes: number,
  data: Backing,
  metadata: Backing,
  rollback: Rollback,
  signal?: AbortSignal,
): Promise<DeviceInfo> {
  const table = [poolTableLine(wantedTable(plan, blockBytes, data, metadata))]
  const uuid = POOL_UUID_PREFIX + randomUUID()
  const request = { name: plan.name, uuid, table }
  const info = await port.activate(request, signal).catch((fault: unknown) => {
    throw fault instanceof DmThinError ? startRefused(fault, plan.name, data, metadata) : fault
  })
  const address = addressOf(info)
  rollback.push('DM_DEV_REMOVE', plan.name, () => port.remove(address, 5_000))
  const { mode } = await poolStatusLine({ port, name: plan.name, address }, signal)
  if (mode === 'fail' || mode === 'error') {
    const text = `pool ${plan.name} failed at its start; call ${resolvingCall('failed', plan.name)}`
    throw new DmThinError('DM_POOL_FAILED', text)
  }
  // The pool now holds both devices open.
  for (const { held } of [data, metadata]) if (held !== undefined) await port.release(held)
  return info
}

function startRefused(fault: DmThinError, name: string, data: Backing, metadata: Backing): DmThinError {
  if (fault.code === 'DM_KERNEL' || fault.code === 'DM_TABLE_REFUSED') {
    if (fault.errno === ERRNO.EBUSY) {
      return fault.refined(
        'DM_BUSY',
        `${data.path} or ${metadata.path} is in use by another pool or mount (${fault.message})`,
      )
    }
    if (fault.errno === ERRNO.ENOTBLK || fault.errno === ERRNO.EILSEQ) {
      return fault.refined(
        'DM_METADATA_CORRUPT',
        `the kernel could not read the metadata on ${metadata.path}; call ${resolvingCall('damaged', name)} (${fault.message})`,
      )
    }
  }
  return fault
}

async function refuseTakenName(port: KernelPort, name: string, signal?: AbortSignal): Promise<void> {
  const taken = await port.deviceStatus({ name }, signal).catch(undefinedIf('DM_NOT_FOUND'))
  if (taken) {
    throw new DmThinError(
      'DM_NAME_TAKEN',
      `a mapped device "${name}" exists already; ThinPool.open attaches to a running pool`,
      {
        device: name,
      },
    )
  }
}

async function attachBoth(
  port: KernelPort,
  plan: PoolPlan,
  lock: PoolLock,
  rollback: Rollback,
  mayCreate: boolean,
  signal?: AbortSignal,
) {
  const { data, metadata } = await findBoth(port, plan, lock, rollback, mayCreate, signal)
  return {
    data: await attachBacking(port, data, rollback, mayCreate, signal),
    metadata: await attachBacking(port, metadata, rollback, mayCreate, signal),
  }
}

function checkDevices(plan: PoolPlan, data: Backing, metadata: Backing): void {
  if (data.device === metadata.device) throw invalid(`data and metadata are the same device ${data.path}`)
  if (metadata.sizeBytes < MIN_METADATA_BYTES) {
    throw invalid(`metadata has ${metadata.sizeBytes} bytes; it must be at least ${MIN_METADATA_BYTES}`)
  }
  if ('device' in plan.metadata) return // A larger device is allowed: the kernel uses the first part of it.
  if (metadata.sizeBytes > MAX_METADATA_BYTES) {
    throw invalid(`metadata has ${metadata.sizeBytes} bytes; the kernel uses at most ${MAX_METADATA_BYTES}`)
  }
}

/**
 * Rejects a data device that is in use. Mapped devices share one claim on the devices below them, so the kernel lets
 * two pools use one data device, and each would overwrite the other's blocks. An exclusive open by anything else is
 * rejected by the kernel.
 */
async function refuseDataInUse(port: KernelPort, data: Backing, signal?: AbortSignal): Promise<void> {
  await port.readBlocks(data.path, [0], METADATA_BLOCK_BYTES, true, signal)
}

function notBlank(metadata: Backing, what: string): DmThinError {
  const text = `${metadata.path} is not blank: it holds ${what}; format: 'overwrite' discards it, ThinPool.open opens a pool`
  return new DmThinError('DM_METADATA_NOT_BLANK', text, { device: metadata.path })
}

type Found =
  | { readonly kind: 'blank'; readonly allBlank: boolean }
  | { readonly kind: 'pool'; readonly superblock: Superblock }
  | { readonly kind: 'garbage'; readonly detail: string }

async function readSuperblock(port: KernelPort, metadata: Backing, signal?: AbortSignal): Promise<Found> {
  const blocks = await port.readBlocks(metadata.path, FIRST_BLOCKS, METADATA_BLOCK_BYTES, true, signal)
  const found = classifySuperblock(blocks[0]!)
  if (found.kind === 'blank') {
    return { kind: 'blank', allBlank: blocks.every(isBlank) }
  }
  return found.kind === 'pool'
    ? { kind: 'pool', superblock: found.superblock }
    : { kind: 'garbage', detail: found.detail }
}

/** Returns true if the block is zero. Compares whole blocks, because a loop over bytes would block the event loop. */
const isBlank = (block: Uint8Array): boolean => ZEROES.compare(block) === 0
const ZEROES = Buffer.alloc(METADATA_BLOCK_BYTES)
