// The port over the native addon. Arguments are packed, promises are passed on, refusals become DmThinErrors; an
// AbortSignal becomes a number that `cancel` can name.
import { throwIfAborted } from '../base/errors.js'
import { unpackList, type PackedList } from './device-list.js'
import { told } from './trace/diagnostics.js'
import { errorFromFailure } from './errors/translate.js'
import type { NativeFailure } from './errors/native-failure.js'
import { portInside, type Kernel } from './kernel-option.js'
import { loadAddon, type Addon } from './load-addon.js'
import { mapperLinks } from './mapper-links.js'
import {
  DEVICE_FLAG,
  type BatchOptions,
  type Announcement,
  type KernelPort,
  type ListedDevice,
  type Outcome,
  type SnapshotOutcome,
} from './port/port.js'
import type { Handle } from './port/handle.js'
import { readSmallFile, replaceSmallFile } from './small-file.js'
import { UDEV_NO_PROBING } from './udev.js'

const QUIET: Announcement = { flags: UDEV_NO_PROBING, transaction: 0 }

const refused = (failure: NativeFailure): never => {
  throw errorFromFailure(failure)
}

export class NativePort implements KernelPort {
  readonly #addon: Addon = loadAddon()
  readonly #calls = new Map<AbortSignal, { readonly ids: Set<number>; readonly cancel: () => void }>()
  #nextCancelId = 1

  /** Calls `addon[name](...args, cancelId)`. After an abort it settles once the kernel has let go. */
  #call<T>(name: string, signal: AbortSignal | undefined, ...args: unknown[]): Promise<T> {
    return told(name, args, () => this.#run<T>(name, signal, args))
  }

  #list(name: string, signal: AbortSignal | undefined, ...args: unknown[]): Promise<ListedDevice[]> {
    return told(name, args, async () => unpackList(await this.#run<PackedList>(name, signal, args)))
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

  /** The calls that a signal gives up. One listener serves them all: Node warns of a leak from the eleventh on. */
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

  version: KernelPort['version'] = signal => this.#call('version', signal)
  listDevices: KernelPort['listDevices'] = (filter, signal) => this.#list('listDevices', signal, filter)
  listVersions: KernelPort['listVersions'] = signal => this.#call('listVersions', signal)
  targetVersion: KernelPort['targetVersion'] = (type, signal) => this.#call('targetVersion', signal, type)
  removeAll: KernelPort['removeAll'] = (flags, signal) => this.#call('removeAll', signal, flags)
  create: KernelPort['create'] = (name, uuid, signal, wanted) =>
    this.#call('create', signal, name, uuid, wanted === undefined ? 0 : DEVICE_FLAG.persistentMinor, wanted ?? 0)
  remove: KernelPort['remove'] = (address, limitMs, signal, deferred = false, udev = QUIET) =>
    this.#call('remove', signal, address, udev.flags, deferred, limitMs, udev.transaction)
  rename: KernelPort['rename'] = (name, to, signal, udev = QUIET) =>
    this.#call('rename', signal, name, to, udev.flags, udev.transaction)
  setUuid: KernelPort['setUuid'] = (name, uuid, signal, udev = QUIET) =>
    this.#call('setUuid', signal, name, uuid, udev.flags, udev.transaction)
  setGeometry: KernelPort['setGeometry'] = (address, geometry, signal) =>
    this.#call('setGeometry', signal, address, geometry)
  suspend: KernelPort['suspend'] = (address, flags, signal) => this.#call('suspend', signal, address, flags)
  resume: KernelPort['resume'] = (address, signal, flags = 0, udev = QUIET) =>
    this.#call('resume', signal, address, udev.flags, flags, udev.transaction)
  deviceStatus: KernelPort['deviceStatus'] = (address, signal, flags = 0) =>
    this.#call('deviceStatus', signal, address, flags)
  wait: KernelPort['wait'] = (address, eventNumber, flags, signal) =>
    this.#call('wait', signal, address, eventNumber, flags)
  tableLoad: KernelPort['tableLoad'] = (address, table, flags, signal) =>
    this.#call('tableLoad', signal, address, table, flags)
  tableClear: KernelPort['tableClear'] = (address, signal) => this.#call('tableClear', signal, address)
  tableDeps: KernelPort['tableDeps'] = (address, signal, flags = 0) => this.#call('tableDeps', signal, address, flags)
  tableStatus: KernelPort['tableStatus'] = (address, flags, signal) => this.#call('tableStatus', signal, address, flags)
  tableAndStatus: KernelPort['tableAndStatus'] = (address, signal) => this.#call('tableAndStatus', signal, address)
  statusMany: KernelPort['statusMany'] = (prefix, ids, signal) => this.#call('statusMany', signal, prefix, ids)
  targetMessage: KernelPort['targetMessage'] = (address, sector, message, signal, flags = 0, committed = false) =>
    this.#call('targetMessage', signal, address, sector, message, flags, committed)
  targetMessages: KernelPort['targetMessages'] = async (address, sector, messages, committed, { onDone, signal }) => {
    const outcomes = await this.#each('targetMessages', signal, address, sector, messages, committed)
    outcomes.forEach((_, index) => onDone?.(index + 1))
    return outcomes
  }
  commit: KernelPort['commit'] = (pool, signal) => this.#call('commit', signal, pool)

  udevBegin: KernelPort['udevBegin'] = signal => this.#call('udevBegin', signal)
  udevWait: KernelPort['udevWait'] = (transaction, limitMs, signal) =>
    this.#call('udevWait', signal, transaction, limitMs)
  udevSweep: KernelPort['udevSweep'] = signal => this.#call('udevSweep', signal)

  openEvents = (): Handle => this.#addon['openEvents']!() as Handle
  armEvents: KernelPort['armEvents'] = (events, signal) => this.#call('armEvents', signal, events)
  pollEvents: KernelPort['pollEvents'] = (events, signal) => this.#call('pollEvents', signal, events)
  nextList: KernelPort['nextList'] = (events, filter, poll, signal) =>
    this.#list('nextList', signal, events, filter, poll)

  activate: KernelPort['activate'] = (request, signal) =>
    this.#call('activate', signal, request.guard ?? null, request, UDEV_NO_PROBING)
  activateMany: KernelPort['activateMany'] = (guard, requests, options) =>
    this.#batch('activateMany', options, guard, requests, UDEV_NO_PROBING)
  deactivate: KernelPort['deactivate'] = (pool, address, limitMs, signal) =>
    this.#call('deactivate', signal, pool ?? null, address, UDEV_NO_PROBING, limitMs)
  deactivateMany: KernelPort['deactivateMany'] = (pool, addresses, limitMs, options) =>
    this.#batch('deactivateMany', options, pool ?? null, addresses, UDEV_NO_PROBING, limitMs)
  snapshot: KernelPort['snapshot'] = (request, signal) =>
    this.#call('snapshot', signal, { ...request, udevFlags: UDEV_NO_PROBING })
  snapshotActive: KernelPort['snapshotActive'] = async (request, activation, signal) => {
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
  activeThins: KernelPort['activeThins'] = (pool, signal) => this.#call('activeThins', signal, pool)
  foreignThins: KernelPort['foreignThins'] = (pool, ownPrefix, signal) =>
    this.#call('foreignThins', signal, pool, ownPrefix)
  lockPool: KernelPort['lockPool'] = (key, signal) => this.#call('lockPool', signal, key)

  loopAttach: KernelPort['loopAttach'] = (request, signal) => this.#call('loopAttach', signal, request)
  loopList: KernelPort['loopList'] = signal => this.#call('loopList', signal)
  loopStatus: KernelPort['loopStatus'] = (number, signal) => this.#call('loopStatus', signal, number)
  loopSetCapacity: KernelPort['loopSetCapacity'] = (number, signal) => this.#call('loopSetCapacity', signal, number)
  loopChangeFile: KernelPort['loopChangeFile'] = (number, file, signal) =>
    this.#call('loopChangeFile', signal, number, file)
  loopSetDirectIo: KernelPort['loopSetDirectIo'] = (number, on, signal) =>
    this.#call('loopSetDirectIo', signal, number, on)
  loopDetachAtLastClose: KernelPort['loopDetachAtLastClose'] = (number, signal) =>
    this.#call('loopDetachAtLastClose', signal, number)
  loopDetach: KernelPort['loopDetach'] = (number, limitMs, signal) => this.#call('loopDetach', signal, number, limitMs)
  loopHold: KernelPort['loopHold'] = (number, signal) => this.#call('loopHold', signal, number)
  lockNode: KernelPort['lockNode'] = (path, signal) => this.#call('lockNode', signal, path)
  readSmallFile = readSmallFile
  replaceSmallFile = replaceSmallFile
  // Without a thread it is closed all the same, here.
  release = (handle: Handle): Promise<void> => this.#run<void>('release', undefined, [handle]).catch(() => {})

  identify: KernelPort['identify'] = (path, signal) => this.#call('identify', signal, path)
  createSparse: KernelPort['createSparse'] = (path, sizeBytes, signal) =>
    this.#call('createSparse', signal, path, sizeBytes)
  growFile: KernelPort['growFile'] = (path, sizeBytes, signal) => this.#call('growFile', signal, path, sizeBytes)
  deleteFile: KernelPort['deleteFile'] = (path, signal) => this.#call('deleteFile', signal, path)
  blockSizeBytes: KernelPort['blockSizeBytes'] = (path, signal) => this.#call('blockSizeBytes', signal, path)
  readBlocks: KernelPort['readBlocks'] = (path, blocks, blockBytes, exclusive, signal) =>
    this.#call('readBlocks', signal, path, blocks, blockBytes, exclusive)
  syncFile: KernelPort['syncFile'] = (file, signal) => this.#call('syncFile', signal, file)
  syncFileSystem: KernelPort['syncFileSystem'] = (file, signal) => this.#call('syncFileSystem', signal, file)
  allocateFile: KernelPort['allocateFile'] = (path, signal) => this.#call('allocateFile', signal, path)
  zeroStart: KernelPort['zeroStart'] = (path, lengthBytes, signal) => this.#call('zeroStart', signal, path, lengthBytes)

  blockOpen: KernelPort['blockOpen'] = (request, signal) => this.#call('blockOpen', signal, request)
  blockInfo: KernelPort['blockInfo'] = (handle, signal) => this.#call('blockInfo', signal, handle)
  blockErase: KernelPort['blockErase'] = (handle, how, offset, length, signal) =>
    this.#call('blockErase', signal, handle, how, offset, length)
  blockSetReadOnly: KernelPort['blockSetReadOnly'] = (handle, on, signal) =>
    this.#call('blockSetReadOnly', signal, handle, on)
  blockFlush: KernelPort['blockFlush'] = (handle, drop, signal) => this.#call('blockFlush', signal, handle, drop)
  blockReread: KernelPort['blockReread'] = (handle, signal) => this.#call('blockReread', signal, handle)
  blockRead: KernelPort['blockRead'] = (handle, offset, memory, signal) =>
    this.#call('blockRead', signal, handle, offset, memory)
  blockWrite: KernelPort['blockWrite'] = (handle, offset, memory, signal) =>
    this.#call('blockWrite', signal, handle, offset, memory)
  alignedBuffer = (length: number): Uint8Array => this.#addon['alignedBuffer']!(length) as Uint8Array
  peek: KernelPort['peek'] = (path, ranges, signal) =>
    this.#call(
      'peek',
      signal,
      path,
      ranges.flatMap(each => [each.offsetBytes, each.lengthBytes]),
    )

  mount: KernelPort['mount'] = (request, signal) => this.#call('mount', signal, request)
  mountDetached: KernelPort['mountDetached'] = (request, signal) => this.#call('mountDetached', signal, request)
  remount: KernelPort['remount'] = (request, signal) => this.#call('remount', signal, request)
  bindMount: KernelPort['bindMount'] = (request, signal) => this.#call('bindMount', signal, request)
  setPropagation: KernelPort['setPropagation'] = (target, flags, signal) =>
    this.#call('setPropagation', signal, target, flags)
  unmount: KernelPort['unmount'] = (target, flags, signal) => this.#call('unmount', signal, target, flags)
  holders: KernelPort['holders'] = (device, signal) => this.#call('holders', signal, device)
  holdersOfMount: KernelPort['holdersOfMount'] = (target, signal) => this.#call('holdersOfMount', signal, target)
  freeze: KernelPort['freeze'] = (path, signal) => this.#call('freeze', signal, path)
  thaw: KernelPort['thaw'] = (frozen, signal) => this.#call('thaw', signal, frozen)
  trim: KernelPort['trim'] = (request, signal) => this.#call('trim', signal, request)
  growFileSystem: KernelPort['growFileSystem'] = (path, signal) => this.#call('growFileSystem', signal, path)
  wallClock = (): bigint => this.#addon['wallClock']!() as bigint

  treeChangesOpen: KernelPort['treeChangesOpen'] = (request, signal) => this.#call('treeChangesOpen', signal, request)
  treeChangesNext: KernelPort['treeChangesNext'] = (changes, signal) => this.#call('treeChangesNext', signal, changes)
  treeRead: KernelPort['treeRead'] = (changes, request, memory, signal) =>
    this.#call('treeRead', signal, changes, request, memory)

  treeOpen: KernelPort['treeOpen'] = (path, { names, bytes }, signal) =>
    this.#call('treeOpen', signal, path, names, bytes)
  treeWrite: KernelPort['treeWrite'] = (handle, batch, chunks, signal) =>
    this.#call('treeWrite', signal, handle, batch, chunks)
  treeFinish: KernelPort['treeFinish'] = (handle, sync, signal) => this.#call('treeFinish', signal, handle, sync)

  noop: KernelPort['noop'] = signal => this.#call('noop', signal)
}

let shared: NativePort | undefined

/** The port of this environment. */
export function nativePort(): KernelPort {
  return (shared ??= new NativePort())
}

/** The port of the kernel that a caller named, or of the machine's own. */
export const portOf = (kernel: Kernel | undefined): KernelPort =>
  kernel === undefined ? nativePort() : portInside(kernel)
