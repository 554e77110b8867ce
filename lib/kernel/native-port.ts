// The port over the native addon. It packs arguments, returns the addon's promises, and converts failures to
// DmThinErrors; an AbortSignal becomes a number for `cancel`.
import { DmThinError, ERRNO, throwIfAborted } from '../base/errors.js'
import { type PackedInventory, type PackedList, unpackInventory, unpackList } from './device-list.js'
import { traced } from './trace/diagnostics.js'
import { errorFromFailure } from './errors/translate.js'
import type { NativeFailure } from './errors/native-failure.js'
import { type Kernel, portInside } from './kernel-option.js'
import { type Addon, loadAddon } from './load-addon.js'
import { mapperLinks } from './mapper-links.js'
import { DEVICE_FLAG, type ListedDevice } from './port/device-port.js'
import type { BatchOptions, Outcome, SnapshotOutcome } from './port/pool-port.js'
import type { UdevOptions } from './port/udev-port.js'
import type { KernelPort } from './port/kernel-port.js'
import type { MachinePort } from './port/machine-port.js'
import type { Handle } from './port/handle.js'
import { readRunFile, readSmallFile, replaceRunFile, replaceSmallFile } from './small-file.js'
import { UDEV_NO_PROBING } from './udev.js'
import { statfsSync, type StatsFs } from 'node:fs'
import type { FileSystemSpace } from './port/file-port.js'

const QUIET: UdevOptions = { flags: UDEV_NO_PROBING, transaction: 0 }

const refused = (failure: NativeFailure): never => {
  throw errorFromFailure(failure)
}

export class NativePort implements MachinePort {
  readonly #addon: Addon = loadAddon()
  readonly #calls = new Map<AbortSignal, { readonly ids: Set<number>; readonly cancel: () => void }>()
  #nextCancelId = 1

  /** Calls `addon[name](...args, cancelId)`. After an abort it settles when the kernel has returned. */
  #call<T>(name: string, signal: AbortSignal | undefined, ...args: unknown[]): Promise<T> {
    return traced(name, args, () => this.#run<T>(name, signal, args))
  }

  #list(name: string, signal: AbortSignal | undefined, ...args: unknown[]): Promise<ListedDevice[]> {
    return traced(name, args, async () => unpackList(await this.#run<PackedList>(name, signal, args)))
  }

  #run<T>(name: string, signal: AbortSignal | undefined, args: readonly unknown[]): Promise<T> {
    const native = this.#addon[name] as (...args: unknown[]) => Promise<T>
    return signal ? this.#abortable(native, signal, args) : native(...args, 0).catch(refused)
  }

  async #abortable<T>(
    native: (...args: unknown[]) => Promise<T>,
    signal: AbortSignal,
    args: readonly unknown[],
  ): Promise<T> {
    throwIfAborted(signal)
    const id = this.#nextCancelId++
    const ids = this.#listen(signal)
    ids.add(id)
    try {
      return await native(...args, id)
    } catch (failure) {
      throw errorFromFailure(failure as NativeFailure, signal)
    } finally {
      ids.delete(id)
      if (ids.size === 0) this.#unlisten(signal)
    }
  }

  /**
   * Returns the calls that a signal aborts. One listener serves them all, because Node warns of a leak from the
   * eleventh on.
   */
  #listen(signal: AbortSignal): Set<number> {
    const known = this.#calls.get(signal)
    if (known) return known.ids
    const ids = new Set<number>()
    const cancel = () => ids.forEach(id => this.#addon['cancel']!(id))
    signal.addEventListener('abort', cancel, { once: true })
    this.#calls.set(signal, { ids, cancel })
    return ids
  }

  #unlisten(signal: AbortSignal): void {
    const known = this.#calls.get(signal)
    if (!known) return
    signal.removeEventListener('abort', known.cancel)
    this.#calls.delete(signal)
  }

  #batch(name: string, { onDone, signal }: BatchOptions, ...args: unknown[]): Promise<Outcome[]> {
    return this.#each(name, signal, ...args, onDone ?? null)
  }

  async #each(name: string, signal: AbortSignal | undefined, ...args: unknown[]): Promise<Outcome[]> {
    const outcomes = await this.#call<(number | NativeFailure)[]>(name, signal, ...args)
    return outcomes.map(each => (typeof each === 'number' ? each : errorFromFailure(each, signal)))
  }

  readonly mapperLinks = mapperLinks

  version: MachinePort['version'] = signal => this.#call('version', signal)
  listDevices: MachinePort['listDevices'] = (filter, signal) => this.#list('listDevices', signal, filter)
  listVersions: MachinePort['listVersions'] = signal => this.#call('listVersions', signal)
  targetVersion: MachinePort['targetVersion'] = (type, signal) => this.#call('targetVersion', signal, type)
  removeAll: MachinePort['removeAll'] = (flags, signal) => this.#call('removeAll', signal, flags)
  create: MachinePort['create'] = (name, uuid, signal, wanted) =>
    this.#call('create', signal, name, uuid, wanted === undefined ? 0 : DEVICE_FLAG.persistentMinor, wanted ?? 0)
  remove: MachinePort['remove'] = (address, limitMs, signal, deferred = false, udev = QUIET) =>
    this.#call('remove', signal, address, udev.flags, deferred, limitMs, udev.transaction)
  rename: MachinePort['rename'] = (name, to, signal, udev = QUIET) =>
    this.#call('rename', signal, name, to, udev.flags, udev.transaction)
  setUuid: MachinePort['setUuid'] = (name, uuid, signal, udev = QUIET) =>
    this.#call('setUuid', signal, name, uuid, udev.flags, udev.transaction)
  setGeometry: MachinePort['setGeometry'] = (address, geometry, signal) =>
    this.#call('setGeometry', signal, address, geometry)
  suspend: MachinePort['suspend'] = (address, flags, signal) => this.#call('suspend', signal, address, flags)
  resume: MachinePort['resume'] = (address, signal, flags = 0, udev = QUIET) =>
    this.#call('resume', signal, address, udev.flags, flags, udev.transaction)
  deviceStatus: MachinePort['deviceStatus'] = (address, signal, flags = 0) =>
    this.#call('deviceStatus', signal, address, flags)
  wait: MachinePort['wait'] = (address, eventNumber, flags, signal) =>
    this.#call('wait', signal, address, eventNumber, flags)
  tableLoad: MachinePort['tableLoad'] = (address, table, flags, signal) =>
    this.#call('tableLoad', signal, address, table, flags)
  tableClear: MachinePort['tableClear'] = (address, signal) => this.#call('tableClear', signal, address)
  tableDeps: MachinePort['tableDeps'] = (address, signal, flags = 0) => this.#call('tableDeps', signal, address, flags)
  tableStatus: MachinePort['tableStatus'] = (address, flags, signal) =>
    this.#call('tableStatus', signal, address, flags)
  deviceLines: MachinePort['deviceLines'] = (address, flags, signal) =>
    this.#call('deviceLines', signal, address, flags)
  statusMany: MachinePort['statusMany'] = (prefix, ids, signal) => this.#call('statusMany', signal, prefix, ids)
  targetMessage: MachinePort['targetMessage'] = (address, sector, message, signal, flags = 0, committed = false) =>
    this.#call('targetMessage', signal, address, sector, message, flags, committed)
  targetMessages: MachinePort['targetMessages'] = async (address, sector, messages, committed, { onDone, signal }) => {
    const outcomes = await this.#each('targetMessages', signal, address, sector, messages, committed)
    outcomes.forEach((_, index) => onDone?.(index + 1))
    return outcomes
  }
  createThin: MachinePort['createThin'] = (request, signal) => this.#call('createThin', signal, request)
  commit: MachinePort['commit'] = (pool, signal) => this.#call('commit', signal, pool)

  udevBegin: MachinePort['udevBegin'] = signal => this.#call('udevBegin', signal)
  udevWait: MachinePort['udevWait'] = (transaction, limitMs, signal) =>
    this.#call('udevWait', signal, transaction, limitMs)
  udevSweep: MachinePort['udevSweep'] = signal => this.#call('udevSweep', signal)

  openEvents = (): Handle => this.#addon['openEvents']!() as Handle
  armEvents: MachinePort['armEvents'] = (events, signal) => this.#call('armEvents', signal, events)
  pollEvents: MachinePort['pollEvents'] = (events, signal) => this.#call('pollEvents', signal, events)
  nextList: MachinePort['nextList'] = (events, filter, poll, signal) =>
    this.#list('nextList', signal, events, filter, poll)

  inventory: MachinePort['inventory'] = (pool, signal) =>
    traced('inventory', [pool], async () =>
      unpackInventory(await this.#run<PackedInventory>('inventory', signal, [pool])),
    )
  poolStatus: MachinePort['poolStatus'] = (address, metadataPath, signal) =>
    this.#call('poolStatus', signal, address, metadataPath)
  activate: MachinePort['activate'] = (request, signal) =>
    this.#call('activate', signal, request.guard ?? null, request, UDEV_NO_PROBING)
  activateMany: MachinePort['activateMany'] = (guard, requests, options) =>
    this.#batch('activateMany', options, guard, requests, UDEV_NO_PROBING)
  deactivate: MachinePort['deactivate'] = (guard, { address, thinId }, limitMs, signal) =>
    this.#call('deactivate', signal, guard, address, thinId, UDEV_NO_PROBING, limitMs)
  deactivateMany: MachinePort['deactivateMany'] = (guard, volumes, limitMs, options) =>
    this.#batch('deactivateMany', options, guard, volumes, UDEV_NO_PROBING, limitMs)
  snapshot: MachinePort['snapshot'] = (request, signal) =>
    this.#call('snapshot', signal, { ...request, udevFlags: UDEV_NO_PROBING })
  snapshotActive: MachinePort['snapshotActive'] = async (request, activation, signal) => {
    type Answer = SnapshotOutcome & { readonly activated?: number | NativeFailure }
    const snapshot = { ...request, udevFlags: UDEV_NO_PROBING }
    const { activated, ...outcome } = await this.#call<Answer>(
      'snapshotActive',
      signal,
      snapshot,
      activation.guard,
      activation,
      UDEV_NO_PROBING,
    )
    if (activated === undefined) return outcome
    return { ...outcome, activated: typeof activated === 'number' ? activated : errorFromFailure(activated, signal) }
  }
  moveToSnapshot: MachinePort['moveToSnapshot'] = (request, signal) =>
    this.#call('moveToSnapshot', signal, { ...request, udevFlags: UDEV_NO_PROBING })
  activeThins: MachinePort['activeThins'] = (pool, signal) => this.#call('activeThins', signal, pool)
  foreignThins: MachinePort['foreignThins'] = (pool, ownPrefix, signal) =>
    this.#call('foreignThins', signal, pool, ownPrefix)
  lockPool: MachinePort['lockPool'] = (key, signal) => this.#call('lockPool', signal, key)
  tryLockPool: MachinePort['tryLockPool'] = key => this.#call('tryLockPool', undefined, key)
  lockThin: MachinePort['lockThin'] = (pool, thinId, signal) => this.#call('lockThin', signal, pool, thinId)

  loopAttach: MachinePort['loopAttach'] = (request, signal) => this.#call('loopAttach', signal, request)
  loopList: MachinePort['loopList'] = signal => this.#call('loopList', signal)
  loopStatus: MachinePort['loopStatus'] = (number, signal) => this.#call('loopStatus', signal, number)
  loopSetCapacity: MachinePort['loopSetCapacity'] = (number, signal) => this.#call('loopSetCapacity', signal, number)
  loopChangeFile: MachinePort['loopChangeFile'] = (number, file, signal) =>
    this.#call('loopChangeFile', signal, number, file)
  loopSetDirectIo: MachinePort['loopSetDirectIo'] = (number, on, signal) =>
    this.#call('loopSetDirectIo', signal, number, on)
  loopDetachAtLastClose: MachinePort['loopDetachAtLastClose'] = (number, signal) =>
    this.#call('loopDetachAtLastClose', signal, number)
  loopDetach: MachinePort['loopDetach'] = (number, limitMs, signal) => this.#call('loopDetach', signal, number, limitMs)
  loopHold: MachinePort['loopHold'] = (number, signal) => this.#call('loopHold', signal, number)
  lockNode: MachinePort['lockNode'] = (path, signal) => this.#call('lockNode', signal, path)
  readSmallFile = readSmallFile
  replaceSmallFile = replaceSmallFile
  readRunFile = readRunFile
  replaceRunFile = replaceRunFile
  fileSystemSpace = fileSystemSpace
  // Without a free thread, the handle is closed on this thread.
  release = (handle: Handle): Promise<void> => this.#run<void>('release', undefined, [handle]).catch(() => {})

  identify: MachinePort['identify'] = (path, signal) => this.#call('identify', signal, path)
  createSparse: MachinePort['createSparse'] = (path, sizeBytes, signal) =>
    this.#call('createSparse', signal, path, sizeBytes)
  growFile: MachinePort['growFile'] = (path, sizeBytes, signal) => this.#call('growFile', signal, path, sizeBytes)
  deleteFile: MachinePort['deleteFile'] = (path, signal) => this.#call('deleteFile', signal, path)
  blockSizeBytes: MachinePort['blockSizeBytes'] = (path, signal) => this.#call('blockSizeBytes', signal, path)
  readBlocks: MachinePort['readBlocks'] = (path, blocks, blockBytes, exclusive, signal) =>
    this.#call('readBlocks', signal, path, blocks, blockBytes, exclusive)
  syncFile: MachinePort['syncFile'] = (file, signal) => this.#call('syncFile', signal, file)
  syncFileSystem: MachinePort['syncFileSystem'] = (file, signal) => this.#call('syncFileSystem', signal, file)
  allocateFile: MachinePort['allocateFile'] = (path, signal) => this.#call('allocateFile', signal, path)
  zeroBlocks: MachinePort['zeroBlocks'] = (path, blocks, blockBytes, signal) =>
    this.#call('zeroBlocks', signal, path, blocks, blockBytes)

  blockOpen: MachinePort['blockOpen'] = (request, signal) => this.#call('blockOpen', signal, request)
  blockInfo: MachinePort['blockInfo'] = (handle, signal) => this.#call('blockInfo', signal, handle)
  blockErase: MachinePort['blockErase'] = (handle, how, offset, length, signal) =>
    this.#call('blockErase', signal, handle, how, offset, length)
  blockSetReadOnly: MachinePort['blockSetReadOnly'] = (handle, on, signal) =>
    this.#call('blockSetReadOnly', signal, handle, on)
  blockFlush: MachinePort['blockFlush'] = (handle, drop, signal) => this.#call('blockFlush', signal, handle, drop)
  blockReread: MachinePort['blockReread'] = (handle, signal) => this.#call('blockReread', signal, handle)
  blockRead: MachinePort['blockRead'] = (handle, offset, memory, signal) =>
    this.#call('blockRead', signal, handle, offset, memory)
  blockWrite: MachinePort['blockWrite'] = (handle, offset, memory, signal) =>
    this.#call('blockWrite', signal, handle, offset, memory)
  alignedBuffer = (length: number): Uint8Array => this.#addon['alignedBuffer']!(length) as Uint8Array
  peek: MachinePort['peek'] = (path, ranges, signal) =>
    this.#call(
      'peek',
      signal,
      path,
      ranges.flatMap(each => [each.offsetBytes, each.lengthBytes]),
    )

  mount: MachinePort['mount'] = (request, signal) => this.#call('mount', signal, request)
  mountDetached: MachinePort['mountDetached'] = (request, signal) => this.#call('mountDetached', signal, request)
  remount: MachinePort['remount'] = (request, signal) => this.#call('remount', signal, request)
  bindMount: MachinePort['bindMount'] = (request, signal) => this.#call('bindMount', signal, request)
  setPropagation: MachinePort['setPropagation'] = (target, flags, signal) =>
    this.#call('setPropagation', signal, target, flags)
  unmount: MachinePort['unmount'] = (target, flags, signal) => this.#call('unmount', signal, target, flags)
  holders: MachinePort['holders'] = (device, signal) => this.#call('holders', signal, device)
  holdersOfMount: MachinePort['holdersOfMount'] = (target, signal) => this.#call('holdersOfMount', signal, target)
  freeze: MachinePort['freeze'] = (path, signal) => this.#call('freeze', signal, path)
  thaw: MachinePort['thaw'] = (frozen, signal) => this.#call('thaw', signal, frozen)
  trim: MachinePort['trim'] = (request, signal) => this.#call('trim', signal, request)
  growFileSystem: MachinePort['growFileSystem'] = (path, signal) => this.#call('growFileSystem', signal, path)
  growVolumeFileSystem: MachinePort['growVolumeFileSystem'] = (path, pool, thin, signal) =>
    this.#call('growVolumeFileSystem', signal, path, pool, thin)
  wallClock = (): bigint => this.#addon['wallClock']!() as bigint

  metadataOpen: MachinePort['metadataOpen'] = (path, exclusive, signal) =>
    this.#call('metadataOpen', signal, path, exclusive)
  metadataRead: MachinePort['metadataRead'] = (metadata, blocks, signal) =>
    this.#call('metadataRead', signal, metadata, blocks)
  metadataWalk: MachinePort['metadataWalk'] = (metadata, request, signal) =>
    this.#call('metadataWalk', signal, metadata, request)
  metadataNext: MachinePort['metadataNext'] = (walk, signal) => this.#call('metadataNext', signal, walk)
  metadataUsage: MachinePort['metadataUsage'] = (metadata, roots, metadataBlocks, dataBlocks, signal) =>
    this.#call('metadataUsage', signal, metadata, roots, metadataBlocks, dataBlocks)

  treeChangesOpen: MachinePort['treeChangesOpen'] = (request, signal) => this.#call('treeChangesOpen', signal, request)
  treeChangesNext: MachinePort['treeChangesNext'] = (changes, signal) => this.#call('treeChangesNext', signal, changes)
  treeRead: MachinePort['treeRead'] = (changes, request, memory, signal) =>
    this.#call('treeRead', signal, changes, request, memory)

  treeOpen: MachinePort['treeOpen'] = (path, { names, bytes }, signal) =>
    this.#call('treeOpen', signal, path, names, bytes)
  treeWrite: MachinePort['treeWrite'] = (handle, batch, chunks, signal) =>
    this.#call('treeWrite', signal, handle, batch, chunks)
  treeFinish: MachinePort['treeFinish'] = (handle, sync, signal) => this.#call('treeFinish', signal, handle, sync)

  digestOpen = (): Handle | null => this.#addon['digestOpen']!() as Handle | null
  digestUpdate: MachinePort['digestUpdate'] = (digest, chunks) => this.#call('digestUpdate', undefined, digest, chunks)
  digestFinish: MachinePort['digestFinish'] = digest => this.#call('digestFinish', undefined, digest)
  sha256: MachinePort['sha256'] = (memory, signal) => this.#call('sha256', signal, memory)

  noop: MachinePort['noop'] = signal => this.#call('noop', signal)
}

let shared: NativePort | undefined

/** Returns the port of this environment. */
export function nativePort(): MachinePort {
  return (shared ??= new NativePort())
}

/** Returns the port of the caller's kernel, or of the machine's. */
export const portOf = (kernel: Kernel | undefined): KernelPort =>
  kernel === undefined ? nativePort() : portInside(kernel)

/**
 * Returns the port of the machine's kernel, for calls that the memory kernel lacks. Throws `DM_UNSUPPORTED` for the
 * memory kernel.
 */
export function machinePortOf(kernel: Kernel | undefined, what: string): MachinePort {
  if (kernel === undefined) return nativePort()
  portInside(kernel)
  const text = `the memory kernel does not support ${what}: see docs/testing.md`
  throw new DmThinError('DM_UNSUPPORTED', text)
}

/**
 * Returns the space of the file system that has `file`. A tmpfs without a limit reports a size of 0. Runs on this thread:
 * writers that wait for space in a thin pool may occupy all threads of Node.
 */
async function fileSystemSpace(file: string): Promise<FileSystemSpace> {
  const { bsize, bavail, blocks } = read(file)
  if (blocks === 0) return { freeBytes: Number.MAX_SAFE_INTEGER, totalBytes: Number.MAX_SAFE_INTEGER }
  return { freeBytes: bsize * bavail, totalBytes: bsize * blocks }
}

function read(file: string): StatsFs {
  try {
    return statfsSync(file)
  } catch (fault) {
    const { errno = ERRNO.EIO, message } = fault as NodeJS.ErrnoException
    const code = Math.abs(errno) === ERRNO.ENOENT ? 'DM_FILE_MISSING' : 'DM_KERNEL'
    const facts = { operation: 'statfs', errno: Math.abs(errno), device: file, cause: fault }
    throw new DmThinError(code, `statfs ${JSON.stringify(file)}: ${message}`, facts)
  }
}
