// Temporary mounts of the store, in folders of its directory. Each folder is named after its owner.
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { signalOption } from '../../base/options.js'
import { DmThinError, ERRNO, hasCode, throwIfAborted } from '../../base/errors.js'
import { mount, unmount, type MountFlags } from '../../filesystem/mount.js'
import { nativePort } from '../../kernel/native-port.js'
import { mountDetached } from './detached-mount.js'
import type { Owner } from '../records/owner.js'
import type { Row } from '../records/row.js'
import { stateError } from '../records/layer-lookup.js'
import type { LayerMount } from '../common/layer-types.js'

export function refuseRaw(row: Row): void {
  if (row.raw) throw stateError(row, 'it is raw, so that the host does not mount it: use its device')
}

/**
 * Returns the arguments of mount(2) for a layer. `nouuid`: xfs refuses a second file system with the uuid of one that is
 * mounted. Throws `DM_LAYER_STATE` if the layer is raw; every mount of a layer uses this function.
 */
export function mountOf(row: Row, source: string, readOnly = row.kind === 'view'): LayerMount {
  refuseRaw(row)
  return {
    type: row.fileSystem,
    source,
    options: [...(row.fileSystem === 'xfs' ? ['nouuid'] : []), ...(readOnly ? ['ro'] : [])],
  }
}

/** Mounts a layer with the arguments of `mounts()`. Converts `ro` in its options to a flag. */
export async function mountLayer(
  { type, source, options }: LayerMount,
  target: string,
  flags: MountFlags & { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { signal, ...given } = flags
  const readOnly = options.includes('ro') || given.readOnly === true
  const data = options.filter(option => option !== 'ro').join(',')
  await mount({ source, target, type, data, ...given, readOnly, ...signalOption(signal) })
}

const EDQUOT = 122
/** The pause between attempts to mount a device that is suspended. */
const PAUSE_MS = 5
/** The number of refusals of a device that is not suspended after which it is busy for another reason. */
const MAX_REFUSALS = 3
/** The limit of the wait: a snapshot takes milliseconds, and who suspends a device for longer may not resume it. */
const LIMIT_MS = 10_000

/** The owner and the directory of temporary mounts. */
export interface MountPlace {
  readonly directory: string
  readonly owner: Owner
}

/** The flags of all temporary mounts: set-user-id files and device nodes of an image have no effect on the host. */
const FLAGS = { noSuid: true, noDev: true } as const

/**
 * Mounts a file system for this process only, while `body` runs. `body` must not pass the path to a program or a user: see
 * `DetachedMount`. No other process sees the mount, and nothing is left if this process is killed.
 */
export async function withPrivateMount<T>(
  place: MountPlace,
  source: LayerMount,
  body: (folder: string) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const mounted = await unlessSuspended(source.source, () => mountDetached(source, FLAGS, signal), signal)
  if (!mounted) return withTemporaryMount(place, source, body, signal)
  try {
    return await useMounted(source, mounted.path, body)
  } finally {
    await mounted.close()
  }
}

let counter = 0

/** Mounts a file system in a folder of the store while `body` runs, and unmounts it in any case. */
export async function withTemporaryMount<T>(
  { directory, owner }: MountPlace,
  source: LayerMount,
  body: (folder: string) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const folder = path.join(mountsOf(directory), `${owner.id}.${++counter}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  try {
    await unlessSuspended(source.source, () => mountLayer(source, folder, { signal, ...FLAGS }), signal)
    try {
      return await useMounted(source, folder, body)
    } finally {
      await unmountOrDetach(folder)
    }
  } finally {
    removeFolder(folder)
  }
}

/**
 * Runs `mount`, which mounts `device`, and repeats it while the device is suspended, for at most ten seconds. A commit of a
 * layer that is in use suspends its device for a snapshot, also in another process. The kernel rejects mounts of a suspended
 * device with EBUSY.
 */
async function unlessSuspended<T>(
  device: string,
  mount: () => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const end = performance.now() + LIMIT_MS
  for (let refusals = 0; ;) {
    throwIfAborted(signal)
    try {
      return await mount()
    } catch (fault) {
      if (!hasCode(fault, 'DM_BUSY')) throw fault
      if (performance.now() > end) throw fault
      // It may have been resumed since.
      if (!isSuspended(device) && ++refusals >= MAX_REFUSALS) throw fault
    }
    await sleep(PAUSE_MS)
  }
}

function isSuspended(device: string): boolean {
  try {
    return readFileSync(`/sys/block/${path.basename(device)}/dm/suspended`, 'utf8').startsWith('1')
  } catch {
    return false // removed, or not a mapped device
  }
}

const useMounted = <T>(source: LayerMount, folder: string, body: (folder: string) => Promise<T>): Promise<T> =>
  source.options.includes('ro') ? body(folder) : written(folder, body)

/**
 * Runs `body`, and waits until everything that was written is on the pool. Rejects with errors of writeback, which
 * unmounting does not report. The descriptor is opened before the first write, because the kernel reports to each
 * descriptor only the errors since it was opened.
 */
async function written<T>(folder: string, body: (folder: string) => Promise<T>): Promise<T> {
  const file = openSync(folder, 'r')
  try {
    const result = await body(folder)
    await nativePort().syncFileSystem(file).catch(refuseLoss)
    return result
  } finally {
    closeSync(file)
  }
}

function refuseLoss(fault: unknown): never {
  if (!(fault instanceof DmThinError)) throw fault
  const isFull = fault.errno === ERRNO.ENOSPC || fault.errno === EDQUOT
  const text = 'not everything that was written to the layer is on the pool'
  throw fault.refined(isFull ? 'DM_LAYER_SPACE' : 'DM_LAYER_DAMAGED', `${text}: ${fault.message}`)
}

/** Unmounts a folder. If it is busy, detaches the mount, which ends with its last user. */
async function unmountOrDetach(folder: string): Promise<void> {
  await unmount(folder).catch((fault: unknown) => {
    if (hasCode(fault, 'DM_BUSY')) return unmount(folder, { lazy: true })
    throw fault
  })
}

/** Returns the folders of dead owners. They may still be mounted. */
export async function leftMounts({ directory, owner }: MountPlace): Promise<string[]> {
  const left: string[] = []
  for (const name of listed(mountsOf(directory))) {
    if (!(await owner.isAlive(name.split('.')[0]!))) left.push(path.join(mountsOf(directory), name))
  }
  return left
}

/** Unmounts and removes such a folder. Another process may have done so concurrently. */
export async function sweepMount(folder: string): Promise<void> {
  await unmountOrDetach(folder).catch((fault: unknown) => {
    const isOff = hasCode(fault, 'DM_FILE_MISSING') || (fault as DmThinError).errno === ERRNO.EINVAL
    if (!isOff) throw fault
  })
  removeFolder(folder)
}

const mountsOf = (directory: string): string => path.join(directory, 'mounts')

function listed(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // no such folder has been created yet
  }
}

/**
 * Removes a folder. Another process may have removed it. A folder that is still mounted is left to a sweep after its
 * owner's end, because the error of unmounting is more useful.
 */
function removeFolder(folder: string): void {
  try {
    rmdirSync(folder)
  } catch (fault) {
    if (!['ENOENT', 'EBUSY'].includes((fault as NodeJS.ErrnoException).code!)) throw fault
  }
}
