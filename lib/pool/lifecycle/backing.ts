// The two devices below a pool: created, attached, or found.
import { undefinedIf, DmThinError } from '../../base/errors.js'
import path from 'node:path'
import { nodePath } from '../../block/node-path.js'
import type { Rollback } from '../../base/rollback.js'
import type { FileIdentity } from '../../kernel/port/file-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import type { LoopStatus } from '../../kernel/port/loop-port.js'
import type { Handle } from '../../kernel/port/handle.js'
import { loopNumber } from '../../base/device-number.js'
import { invalid } from '../../base/options.js'
import { MiB } from '../../base/units.js'
import { deviceKey, fileKey, type PoolLock } from '../state/locks.js'
import { holdLoopOver, refuseAttached, untilDetached } from '../../block/find-loop.js'
import type { DeviceSource } from './pool-options.js'

export interface Backing {
  /** `/dev/loop3`, or the node of the block device. */
  readonly path: string
  /** The device number, as the pool's table has it. */
  readonly device: number
  readonly sizeBytes: number
  /** A handle that keeps an autoclear loop device attached until the pool holds it. */
  readonly held?: Handle
}

/** The `lo_file_name` of loop devices that are attached for a pool: only they are detached with it. */
export const POOL_LOOP_REFERENCE = 'dm-thin:pool'

const DEFAULT_METADATA_BYTES = 256 * MiB

/** A file or device for a pool, as it was found before its lock was taken. */
export interface Source {
  /** The key of its lock. */
  readonly key: string
  readonly given: DeviceSource
  readonly identity: FileIdentity
}

/** Finds a pool's file or device. Creates the file if that is requested. */
export async function findSource(
  port: KernelPort,
  role: string,
  given: DeviceSource,
  rollback: Rollback,
  mayCreate: boolean,
  signal?: AbortSignal,
): Promise<Source> {
  if ('device' in given) {
    const identity = await port.identify(given.device, signal)
    if (!identity.blockDevice) {
      throw invalid(`${role}.device ${JSON.stringify(given.device)} is not a block device; for a file pass { file: … }`)
    }
    return { key: await deviceKey(port, identity.targetDevice, signal), given, identity }
  }
  const file = path.resolve(given.file)
  const newBytes = given.sizeBytes ?? (mayCreate ? await sizeOfMissing(port, role, file, signal) : undefined)
  if (!mayCreate || newBytes === undefined) {
    const identity = await checkFile(port, role, file, given.sizeBytes, signal)
    return { key: fileKey(identity), given, identity }
  }
  const { created, ...identity } = await port.createSparse(file, newBytes, signal)
  if (created) rollback.push('unlink', file, () => deleteUnattached(port, file, identity))
  return { key: fileKey(identity), given, identity }
}

/**
 * Returns the default size of metadata if the file does not exist. It is large for most pools, because the file is sparse
 * and a pool that runs out of metadata is read-only immediately.
 */
async function sizeOfMissing(port: KernelPort, role: string, file: string, signal?: AbortSignal) {
  if (role !== 'metadata') return undefined
  const found = await port.identify(file, signal).catch(undefinedIf('DM_FILE_MISSING'))
  return found === undefined ? DEFAULT_METADATA_BYTES : undefined
}

/** Finds both devices of a pool and takes their locks. Creates missing files if that is requested. */
export async function findBoth(
  port: KernelPort,
  given: { readonly data: DeviceSource; readonly metadata: DeviceSource },
  lock: PoolLock,
  rollback: Rollback,
  mayCreate: boolean,
  signal?: AbortSignal,
): Promise<{ readonly data: Source; readonly metadata: Source }> {
  for (;;) {
    const data = await findSource(port, 'data', given.data, rollback, mayCreate, signal)
    const metadata = await findSource(port, 'metadata', given.metadata, rollback, mayCreate, signal)
    await lock.takeBackings([data.key, metadata.key])
    // While this call waited, another may have failed and deleted the files that it had created.
    if ((await isStill(port, data, signal)) && (await isStill(port, metadata, signal))) return { data, metadata }
  }
}

/**
 * Returns true if the path still leads to the file or device that was found. Another call may have deleted the file
 * before its lock was taken.
 */
async function isStill(port: KernelPort, { key, given, identity }: Source, signal?: AbortSignal) {
  if ('device' in given) return (await deviceKey(port, identity.targetDevice, signal)) === key
  return isFile(port, path.resolve(given.file), identity, signal)
}

/** Returns true if `file` is the path of this very file. */
export async function isFile(port: KernelPort, file: string, wanted: FileKey, signal?: AbortSignal): Promise<boolean> {
  const now = await port.identify(file, signal).catch(undefinedIf('DM_FILE_MISSING'))
  return now?.device === wanted.device && now.inode === wanted.inode
}

/**
 * Deletes this very file. Returns false if its path leads to another file or to none. Rejects with `DM_BUSY` while it
 * is attached.
 */
export async function deleteUnattached(port: KernelPort, file: string, wanted: FileKey): Promise<boolean> {
  if (!(await isFile(port, file, wanted))) return false
  await refuseAttached(port, file, wanted, ', so it is not deleted', undefined, 'unlink')
  await port.deleteFile(file)
  return true
}

type FileKey = Pick<FileIdentity, 'device' | 'inode'>

/**
 * Returns a block device for a source. Attaches a file with autoclear: the loop device exists as long as the pool that
 * holds it, and before that as long as this process. So it cannot leak.
 */
export async function attachBacking(
  port: KernelPort,
  { given, identity }: Source,
  rollback: Rollback,
  mayCreate: boolean,
  signal?: AbortSignal,
): Promise<Backing> {
  if ('device' in given) {
    const sizeBytes = await port.blockSizeBytes(given.device, signal)
    return { path: nodePath(identity.targetDevice), device: identity.targetDevice, sizeBytes }
  }
  const file = path.resolve(given.file)
  const found = mayCreate ? undefined : await holdLoopOver(port, file, signal)
  if (found) {
    rollback.push('release', `/dev/loop${found.number}`, () => port.release(found.held))
    return loopBacking(found, found.held)
  }
  const { held, ...status } = await port.loopAttach({ file, autoclear: true, reference: POOL_LOOP_REFERENCE }, signal)
  rollback.push('LOOP_CLR_FD', `/dev/loop${status.number}`, async () => {
    await port.release(held)
    await untilDetached(port, status, 5_000)
  })
  return loopBacking(status, held)
}

const loopBacking = (status: LoopStatus, held: Handle): Backing => ({
  path: `/dev/loop${status.number}`,
  device: loopNumber(status.number),
  sizeBytes: status.sizeBytes,
  held,
})

async function checkFile(
  port: KernelPort,
  role: string,
  file: string,
  sizeBytes: number | undefined,
  signal?: AbortSignal,
): Promise<FileIdentity> {
  const identity = await port.identify(file, signal).catch((fault: DmThinError) => {
    if (fault.code !== 'DM_FILE_MISSING') throw fault
    const hint = sizeBytes === undefined ? `; pass ${role}.sizeBytes to ThinPool.create to create it` : ''
    throw fault.refined('DM_FILE_MISSING', `${role} file ${file} does not exist${hint}`)
  })
  if (!identity.regular) throw invalid(`${role}.file ${JSON.stringify(file)} is not a regular file`)
  // A larger file has been grown: the options with which a pool was created must open it too.
  if (sizeBytes !== undefined && identity.sizeBytes < sizeBytes) {
    const text = `${file} has ${identity.sizeBytes} bytes, less than the ${sizeBytes} stated`
    throw new DmThinError('DM_FILE_SIZE', text, { device: file })
  }
  return identity
}
