// Mount, remount, bind mount and unmount: mount(2) and umount2(2), off the JavaScript thread.
import path from 'node:path'
import { DmThinError, type Holder } from '../base/errors.js'
import type { KernelOption } from '../kernel/kernel-option.js'
import { machinePortOf, nativePort, portOf } from '../kernel/native-port.js'
import type { MountPort } from '../kernel/port/mount-port.js'
import { checkBoolean, checkOptions, checkPath, checkText, type SignalOption, invalid, shown } from '../base/options.js'
import { withHolderText, withHolders } from '../block/holders.js'

/** Flags of a mount. In `mount` the default is false; in `remount` omitted flags keep their value. */
export interface MountFlags {
  /** MS_RDONLY: no writes. */
  readonly readOnly?: boolean
  /** MS_NOATIME: reading a file does not update its access time. */
  readonly noAtime?: boolean
  /** MS_NOSUID: setuid bits are ignored. */
  readonly noSuid?: boolean
  /** MS_NODEV: device nodes cannot be opened. */
  readonly noDev?: boolean
  /** MS_NOEXEC: programs on it cannot be executed. */
  readonly noExec?: boolean
}

/** Options of `mount`. */
export interface MountOptions extends MountFlags, KernelOption, SignalOption {
  /** Path of the block device. */
  readonly source: string
  /** Path of an existing folder. */
  readonly target: string
  /** The kernel's name of the file system: `ext4`, `xfs` … */
  readonly type: string
  /** Options of the file system, separated by commas: `nouuid` for a second xfs of the same origin. Default: none. */
  readonly data?: string
}

/** Options of `remount`. */
export interface RemountOptions extends MountFlags, KernelOption, SignalOption {
  /** Changes only this mount (MS_BIND), and not the file system, which may be mounted elsewhere too. Default false. */
  readonly mountAlone?: boolean
  /** Options of the file system. Default: unchanged. */
  readonly data?: string
}

/** Options of `bindMount`. */
export interface BindOptions extends KernelOption, SignalOption {
  /** The folder or file that is mounted at `target`, which must exist. */
  readonly source: string
  /** The path at which `source` is mounted: an existing folder for a folder, an existing file for a file. */
  readonly target: string
  /** Includes everything that is mounted below `source` (MS_REC). Default false. */
  readonly recursive?: boolean
  /**
   * Makes the new mount read-only. Not with `recursive`, because the kernel would not apply it to the lower mounts.
   * Default false.
   */
  readonly readOnly?: boolean
}

/**
 * The propagation of mounts and unmounts below a mount to its copies: mount_namespaces(7). `private`: none. `shared`:
 * to the copies and from them. `slave`: from the copies only. `unbindable`: none, and the mount cannot be bound.
 */
export type Propagation = 'private' | 'shared' | 'slave' | 'unbindable'

/** Options of `setPropagation`. */
export interface PropagationOptions extends KernelOption, SignalOption {
  /** Includes everything that is mounted below (MS_REC). Default false. */
  readonly recursive?: boolean
}

/** Options of `unmount`. */
export interface UnmountOptions extends KernelOption, SignalOption {
  /** Detaches the mount immediately and releases it at its last use (MNT_DETACH). Default false. */
  readonly lazy?: boolean
}

const MS = {
  rdonly: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  noatime: 0x400,
  rec: 0x4000,
  relatime: 0x200000,
  strictatime: 0x1000000,
}
const PROPAGATION: Readonly<Record<Propagation, number>> = {
  unbindable: 0x20000,
  private: 0x40000,
  slave: 0x80000,
  shared: 0x100000,
}
const MNT_DETACH = 0x2
const UMOUNT_NOFOLLOW = 0x8

const FLAGS = ['readOnly', 'noAtime', 'noSuid', 'noDev', 'noExec'] as const
const BITS: Readonly<Record<(typeof FLAGS)[number], number>> = {
  readOnly: MS.rdonly,
  noAtime: MS.noatime,
  noSuid: MS.nosuid,
  noDev: MS.nodev,
  noExec: MS.noexec,
}

/** Returns the bits of flags that are true, and those of flags that are false. */
export function bitsOf(options: MountFlags): { set: number; clear: number } {
  let [set, clear] = [0, 0]
  for (const name of FLAGS) {
    if (options[name] === undefined) continue
    if (checkBoolean(name, options[name])) set |= BITS[name]
    else clear |= BITS[name]
  }
  // To the kernel, the access-time flags are one choice of several: another one replaces noatime.
  if (set & MS.noatime) clear |= MS.relatime | MS.strictatime
  else if (clear & MS.noatime) set |= MS.relatime
  return { set, clear }
}

/**
 * Mounts a file system. Waits for the kernel (journal replay can take long) without blocking JavaScript. Rejects with
 * `DM_BUSY` (mounted there already, or the device is held: see `holders`), `DM_FILE_MISSING`, `DM_PERMISSION`,
 * `DM_KERNEL` (the file system's own error, in `errno`), `DM_INVALID_ARGUMENT`.
 */
export async function mount(options: MountOptions): Promise<void> {
  checkOptions(options, ['source', 'target', 'type', ...FLAGS, 'data', 'kernel', 'signal'], 'mount')
  const { set } = bitsOf(options)
  const request = {
    source: checkPath('source', options.source),
    target: path.resolve(checkPath('target', options.target)),
    type: checkPath('type', options.type),
    flags: set,
    data: checkText('data', options.data ?? ''),
  }
  const port = portOf(options.kernel)
  const started = performance.now()
  try {
    await port.mount(request, options.signal)
  } catch (fault) {
    if (!(fault instanceof DmThinError) || fault.code !== 'DM_BUSY') throw fault
    const found = await port.identify(request.source).catch(() => undefined)
    const device = found?.blockDevice ? found.targetDevice : 0
    throw await withHolders(port, { device, name: request.source, started }, fault)
  }
}

/**
 * Changes the flags of the mount at `target` (MS_REMOUNT); files in use stay open. Omitted flags keep their value.
 * Rejects with `DM_BUSY` (a file is open for writing, with `readOnly`; see `holders`), `DM_FILE_MISSING`,
 * `DM_PERMISSION`, `DM_KERNEL` (EINVAL: nothing is mounted there).
 */
export async function remount(target: string, options: RemountOptions): Promise<void> {
  checkOptions(options, [...FLAGS, 'mountAlone', 'data', 'kernel', 'signal'], 'remount')
  const where = path.resolve(checkPath('target', target))
  const mountAlone = checkBoolean('mountAlone', options.mountAlone)
  const data = checkText('data', options.data ?? '')
  if (mountAlone && data !== '') throw invalid('data belongs to the file system: not with mountAlone')
  const port = machinePortOf(options.kernel, 'file systems')
  await addHolders(port, where, () =>
    port.remount({ target: where, ...bitsOf(options), mountAlone, data }, options.signal),
  )
}

/**
 * Mounts a folder or file at a second place (MS_BIND). With `readOnly` it makes two calls of the kernel; if the second
 * fails, the first is rolled back. Rejects with `DM_FILE_MISSING`, `DM_PERMISSION`, `DM_INVALID_ARGUMENT`, `DM_KERNEL`
 * (EINVAL: the source is unbindable).
 */
export async function bindMount(options: BindOptions): Promise<void> {
  checkOptions(options, ['source', 'target', 'recursive', 'readOnly', 'kernel', 'signal'], 'bindMount')
  const request = {
    source: path.resolve(checkPath('source', options.source)),
    target: path.resolve(checkPath('target', options.target)),
    recursive: checkBoolean('recursive', options.recursive),
    readOnly: checkBoolean('readOnly', options.readOnly),
  }
  if (request.recursive && request.readOnly) {
    throw invalid('readOnly with recursive would leave the mounts below writable: remount each with mountAlone')
  }
  await machinePortOf(options.kernel, 'file systems').bindMount(request, options.signal)
}

/**
 * Sets the propagation of the mounts below `target`. Rejects with `DM_FILE_MISSING`, `DM_PERMISSION`, `DM_KERNEL`
 * (EINVAL: nothing is mounted there).
 */
export async function setPropagation(
  target: string,
  propagation: Propagation,
  options: PropagationOptions = {},
): Promise<void> {
  checkOptions(options, ['recursive', 'kernel', 'signal'], 'setPropagation')
  const where = path.resolve(checkPath('target', target))
  if (typeof propagation !== 'string' || !Object.hasOwn(PROPAGATION, propagation)) {
    throw invalid(`propagation must be one of ${Object.keys(PROPAGATION).join(', ')}, but is ${shown(propagation)}`)
  }
  const flags = PROPAGATION[propagation] | (checkBoolean('recursive', options.recursive) ? MS.rec : 0)
  await machinePortOf(options.kernel, 'file systems').setPropagation(where, flags, options.signal)
}

/**
 * Unmounts the file system at `target`. Rejects with `DM_BUSY` while a file below it is in use, with the holders that
 * could be found in `holders`; `DM_FILE_MISSING`, `DM_PERMISSION`, `DM_KERNEL` (EINVAL: nothing is mounted there).
 */
export async function unmount(target: string, options: UnmountOptions = {}): Promise<void> {
  checkOptions(options, ['lazy', 'kernel', 'signal'], 'unmount')
  const where = path.resolve(checkPath('target', target))
  const flags = UMOUNT_NOFOLLOW | (checkBoolean('lazy', options.lazy) ? MNT_DETACH : 0)
  const port = portOf(options.kernel)
  await addHolders(port, where, () => port.unmount(where, flags, options.signal))
}

/** Adds the holders of the mount to a `DM_BUSY` of `body`. */
async function addHolders(port: MountPort, where: string, body: () => Promise<void>): Promise<void> {
  try {
    await body()
  } catch (fault) {
    if (!(fault instanceof DmThinError) || fault.code !== 'DM_BUSY') throw fault
    const holders = await port.holdersOfMount(where).catch(() => [])
    throw withHolderText(fault, where, 'one try', holders)
  }
}

/**
 * Returns the holders of a block device, or of a mount (`path` is its folder), as far as /proc and sysfs show them:
 * mounts, including those in the mount namespaces of other processes; processes that have it, or a file below it, open;
 * devices stacked on it; loop devices over its files. About 32 at most. Rejects with `DM_FILE_MISSING`,
 * `DM_INVALID_ARGUMENT`.
 */
export async function holdersOf(path_: string, options: SignalOption = {}): Promise<Holder[]> {
  checkOptions(options, ['signal'], 'holdersOf')
  const where = path.resolve(checkPath('path', path_))
  const port = nativePort()
  const found = await port.identify(where, options.signal)
  return found.blockDevice
    ? port.holders(found.targetDevice, options.signal)
    : port.holdersOfMount(where, options.signal)
}
