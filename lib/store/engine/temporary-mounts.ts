// File systems mounted for the store's own use, in folders of its own, each named after who mounted it.
import { signalOption } from '../../base/options.js'
import { closeSync, mkdirSync, openSync, readdirSync, rmdirSync } from 'node:fs'
import path from 'node:path'
import { DmThinError, ERRNO, hasCode } from '../../base/errors.js'
import { mount, unmount, type MountFlags } from '../../filesystem/mount.js'
import { nativePort } from '../../kernel/native-port.js'
import { mountDetached } from './detached-mount.js'
import type { Owner } from '../records/owner.js'
import type { Row } from '../records/row.js'
import { stateError } from '../records/rows.js'
import type { LayerMount } from '../common/types.js'

export function refuseRaw(row: Row): void {
  if (row.raw) throw stateError(row, 'it is raw, and not mounted by the host: use its device')
}

/**
 * What mount(2) needs for it. `nouuid`: xfs refuses a second file system with the uuid of one that is mounted. Throws
 * `DM_LAYER_STATE` for a raw layer: everything that mounts one comes by here.
 */
export function mountOf(row: Row, source: string, readOnly = row.kind === 'view'): LayerMount {
  refuseRaw(row)
  return {
    type: row.fileSystem,
    source,
    options: [...(row.fileSystem === 'xfs' ? ['nouuid'] : []), ...(readOnly ? ['ro'] : [])],
  }
}

/** Mounts what `mounts()` gave, with the flags among its options as flags. */
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

/** Whose mounts, and below which directory. */
export interface MountPlace {
  readonly directory: string
  readonly owner: Owner
}

/** What an image says of owners and devices has no effect on the host. */
const FLAGS = { noSuid: true, noDev: true } as const

/**
 * Mounts it for the store alone for as long as `body` runs, which must not give the path to a program or a user: see
 * `DetachedMount`. No other process sees it, and nothing is left of it if this one is killed.
 */
export async function mountedInside<T>(
  place: MountPlace,
  source: LayerMount,
  body: (folder: string) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const mounted = await mountDetached(source, FLAGS, signal)
  if (!mounted) return mountedAt(place, source, body, signal)
  try {
    return await useMounted(source, mounted.path, body)
  } finally {
    await mounted.close()
  }
}

let counter = 0

/** Mounts it in a folder of the store for as long as `body` runs, whatever becomes of that. */
export async function mountedAt<T>(
  { directory, owner }: MountPlace,
  source: LayerMount,
  body: (folder: string) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const folder = path.join(mountsOf(directory), `${owner.id}.${++counter}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  try {
    await mountLayer(source, folder, { signal, ...FLAGS })
    try {
      return await useMounted(source, folder, body)
    } finally {
      await unmountOrDetach(folder)
    }
  } finally {
    removeFolder(folder)
  }
}

const useMounted = <T>(source: LayerMount, folder: string, body: (folder: string) => Promise<T>): Promise<T> =>
  source.options.includes('ro') ? body(folder) : written(folder, body)

/**
 * Runs `body`, and then waits until all that was written is on the pool. An error of writing back, which unmounting would
 * not tell, is that of the call. The descriptor is open from before the first write: the kernel tells each descriptor of
 * errors since it was opened.
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
  const text = 'not all that was written to the layer is on the pool'
  throw fault.refined(isFull ? 'DM_LAYER_SPACE' : 'DM_LAYER_DAMAGED', `${text}: ${fault.message}`)
}

/** At once where nobody is below it; else out of sight, and let go by the last one that is. */
async function unmountOrDetach(folder: string): Promise<void> {
  await unmount(folder).catch((fault: unknown) => {
    if (hasCode(fault, 'DM_BUSY')) return unmount(folder, { lazy: true })
    throw fault
  })
}

/** Folders of stores that ended in the middle: mounted still, or left over. */
export async function leftMounts({ directory, owner }: MountPlace): Promise<string[]> {
  const left: string[] = []
  for (const name of listed(mountsOf(directory))) {
    if (!(await owner.isAlive(name.split('.')[0]!))) left.push(path.join(mountsOf(directory), name))
  }
  return left
}

/** Takes one of them away. Another process may be quicker. */
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
    return [] // none was ever made
  }
}

/** Two processes may sweep at once. One that is still mounted says more by that fault, and is swept after its owner. */
function removeFolder(folder: string): void {
  try {
    rmdirSync(folder)
  } catch (fault) {
    if (!['ENOENT', 'EBUSY'].includes((fault as NodeJS.ErrnoException).code!)) throw fault
  }
}
