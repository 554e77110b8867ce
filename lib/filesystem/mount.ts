// mount(2) and umount2(2), off the JavaScript thread.
import path from 'node:path'
import { DmThinError, type Holder } from '../base/errors.js'
import type { KernelOption } from '../kernel/kernel-option.js'
import { machinePortOf, nativePort, portOf } from '../kernel/native-port.js'
import type { MountPort } from '../kernel/port/mount-port.js'
import { checkBoolean, checkOptions, checkPath, checkText, type SignalOption, invalid, shown } from '../base/options.js'
import { withHolderText, withHolders } from '../block/holders.js'

/** What a mount allows. In `mount` the default is false; in `remount` what is not said stays as it is. */
export interface MountFlags {
  /** MS_RDONLY: no writes. */
  readonly readOnly?: boolean
  /** MS_NOATIME: reading a file does not write its time. */
  readonly noAtime?: boolean
  /** MS_NOSUID: setuid bits count for nothing. */
  readonly noSuid?: boolean
  /** MS_NODEV: device nodes cannot be opened. */
  readonly noDev?: boolean
  /** MS_NOEXEC: no program is started from it. */
  readonly noExec?: boolean
}

/** Options of `mount`. */
export interface MountOptions extends MountFlags, KernelOption, SignalOption {
  /** The block device. */
  readonly source: string
  /** An existing folder. */
  readonly target: string
  /** The file system's name for the kernel: `ext4`, `xfs` … */
  readonly type: string
  /** The file system's own options, comma separated: `nouuid` for a second xfs of the same origin. */
  readonly data?: string
}

/** Options of `remount`. */
export interface RemountOptions extends MountFlags, KernelOption, SignalOption {
  /**
   * Of this mount alone (MS_BIND), and not of the file system, which may be mounted elsewhere too. Default false.
   */
  readonly mountAlone?: boolean
  /** The file system's own options. Default: as they are. */
  readonly data?: string
}

/** Options of `bindMount`. */
export interface BindOptions extends KernelOption, SignalOption {
  /** A folder or file, and where it is to be seen too, which exists. */
  readonly source: string
  readonly target: string
  /** With everything that is mounted below `source` (MS_REC). Default false. */
  readonly recursive?: boolean
  /** This view takes no writes. Not with `recursive`, of which the kernel would leave the lower mounts out. Default false. */
  readonly readOnly?: boolean
}

/** How mounts and unmounts below a mount are shared with its copies: mount_namespaces(7). */
export type Propagation = 'private' | 'shared' | 'slave' | 'unbindable'

/** Options of `setPropagation`. */
export interface PropagationOptions extends KernelOption, SignalOption {
  /** Of everything that is mounted below too (MS_REC). Default false. */
  readonly recursive?: boolean
}

/** Options of `unmount`. */
export interface UnmountOptions extends KernelOption, SignalOption {
  /** MNT_DETACH: out of sight at once, let go at the last use. Default false. */
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

/** The bits that are said to be so, and those that are said not to be. */
export function bitsOf(options: MountFlags): { set: number; clear: number } {
  let [set, clear] = [0, 0]
  for (const name of FLAGS) {
    if (options[name] === undefined) continue
    if (checkBoolean(name, options[name])) set |= BITS[name]
    else clear |= BITS[name]
  }
  // The times are one choice of several to the kernel: noatime goes when another is named.
  if (set & MS.noatime) clear |= MS.relatime | MS.strictatime
  else if (clear & MS.noatime) set |= MS.relatime
  return { set, clear }
}

/**
 * Mounts a file system. Waits for the kernel (journal replay can take long), not in JavaScript.
 * Rejects with `DM_BUSY` (mounted there already, or the device is held: see `holders`), `DM_FILE_MISSING`,
 * `DM_PERMISSION`, `DM_KERNEL` (the file system's own refusal, in `errno`), `DM_INVALID_ARGUMENT`.
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
 * Changes what the mount at `target` allows (MS_REMOUNT); files in use stay so. What is not said stays as it is.
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
  await sayHolders(port, where, () =>
    port.remount({ target: where, ...bitsOf(options), mountAlone, data }, options.signal),
  )
}

/**
 * Shows a folder or file at a second place (MS_BIND). With `readOnly` two calls of the kernel; where the second fails the
 * first is rolled back. Rejects with `DM_FILE_MISSING`, `DM_PERMISSION`, `DM_INVALID_ARGUMENT`, `DM_KERNEL` (EINVAL: the
 * source is unbindable).
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
 * Says how the mount at `target` shares what is mounted below it. Rejects with `DM_FILE_MISSING`, `DM_PERMISSION`,
 * `DM_KERNEL` (EINVAL: nothing is mounted there).
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
 * Unmounts what is mounted at `target`. Rejects with `DM_BUSY` while a file below it is in use, with those that could be
 * seen in `holders`; `DM_FILE_MISSING`, `DM_PERMISSION`, `DM_KERNEL` (EINVAL: nothing is mounted there).
 */
export async function unmount(target: string, options: UnmountOptions = {}): Promise<void> {
  checkOptions(options, ['lazy', 'kernel', 'signal'], 'unmount')
  const where = path.resolve(checkPath('target', target))
  const flags = UMOUNT_NOFOLLOW | (checkBoolean('lazy', options.lazy) ? MNT_DETACH : 0)
  const port = portOf(options.kernel)
  await sayHolders(port, where, () => port.unmount(where, flags, options.signal))
}

/** A DM_BUSY of `body` says who is below the mount. */
async function sayHolders(port: MountPort, where: string, body: () => Promise<void>): Promise<void> {
  try {
    await body()
  } catch (fault) {
    if (!(fault instanceof DmThinError) || fault.code !== 'DM_BUSY') throw fault
    const holders = await port.holdersOfMount(where).catch(() => [])
    throw withHolderText(fault, where, 'one try', holders)
  }
}

/**
 * Who holds a block device, or keeps a mount busy (`path` is its folder), as far as /proc and sysfs tell: mounts, in the
 * mount namespaces of other processes too; processes that have it, or a file below it, open; devices stacked on it, and
 * loop devices over its files. At most 32 or so. Rejects with `DM_FILE_MISSING`, `DM_INVALID_ARGUMENT`.
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
