// The port over the native addon. Arguments are packed, promises are passed on, refusals become DmThinErrors; an
// AbortSignal becomes a number that `cancel` can name.
import { throwIfAborted } from '../errors.js'
import { errorFromFailure, type NativeFailure } from './failure.js'
import { loadAddon, type Addon } from './load-addon.js'
import type { BatchOptions, DeviceAddress, Handle, KernelPort, Outcome } from './port.js'
import { UDEV_NO_PROBING } from './udev.js'

const refused = (failure: NativeFailure): never => {
  throw errorFromFailure(failure)
}

export class NativePort implements KernelPort {
  readonly #addon: Addon = loadAddon()
  readonly #calls = new Map<AbortSignal, { readonly ids: Set<number>; readonly cancel: () => void }>()
  #nextCancelId = 1

  /** Calls `addon[name](...args, cancelId)`. After an abort it settles once the kernel has let go. */
  #call<T>(name: string, signal: AbortSignal | undefined, ...args: unknown[]): Promise<T> {
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

  async #batch(name: string, { onDone, signal }: BatchOptions, ...args: unknown[]): Promise<Outcome[]> {
    const outcomes = await this.#call<(number | NativeFailure)[]>(name, signal, ...args, onDone ?? null)
    return outcomes.map(each => (typeof each === 'number' ? each : errorFromFailure(each, signal)))
  }

  version: KernelPort['version'] = signal => this.#call('version', signal)
  listDevices: KernelPort['listDevices'] = (filter, signal) => this.#call('listDevices', signal, filter)
  listVersions: KernelPort['listVersions'] = signal => this.#call('listVersions', signal)
  create: KernelPort['create'] = (name, uuid, signal) => this.#call('create', signal, name, uuid)
  remove: KernelPort['remove'] = (address: DeviceAddress, limitMs, signal) =>
    this.#call('remove', signal, address, UDEV_NO_PROBING, false, limitMs)
  suspend: KernelPort['suspend'] = (address, flags, signal) => this.#call('suspend', signal, address, flags)
  resume: KernelPort['resume'] = (address, signal) => this.#call('resume', signal, address, UDEV_NO_PROBING)
  deviceStatus: KernelPort['deviceStatus'] = (address, signal) => this.#call('deviceStatus', signal, address)
  tableLoad: KernelPort['tableLoad'] = (address, table, readOnly, signal) =>
    this.#call('tableLoad', signal, address, table, readOnly)
  tableClear: KernelPort['tableClear'] = (address, signal) => this.#call('tableClear', signal, address)
  tableDeps: KernelPort['tableDeps'] = (address, signal) => this.#call('tableDeps', signal, address)
  tableStatus: KernelPort['tableStatus'] = (address, flags, signal) => this.#call('tableStatus', signal, address, flags)
  statusMany: KernelPort['statusMany'] = (prefix, ids, signal) => this.#call('statusMany', signal, prefix, ids)
  targetMessage: KernelPort['targetMessage'] = (address, sector, message, signal) =>
    this.#call('targetMessage', signal, address, sector, message)

  activate: KernelPort['activate'] = (request, signal) =>
    this.#call('activate', signal, request.guard ?? null, request, UDEV_NO_PROBING)
  activateMany: KernelPort['activateMany'] = (guard, requests, options) =>
    this.#batch('activateMany', options, guard, requests, UDEV_NO_PROBING)
  removeMany: KernelPort['removeMany'] = (addresses, limitMs, options) =>
    this.#batch('removeMany', options, addresses, UDEV_NO_PROBING, limitMs)
  snapshot: KernelPort['snapshot'] = (request, signal) =>
    this.#call('snapshot', signal, { ...request, udevFlags: UDEV_NO_PROBING })
  activeThins: KernelPort['activeThins'] = (pool, signal) => this.#call('activeThins', signal, pool)
  foreignThins: KernelPort['foreignThins'] = (pool, ownPrefix, signal) =>
    this.#call('foreignThins', signal, pool, ownPrefix)
  lockPool: KernelPort['lockPool'] = (poolName, signal) => this.#call('lockPool', signal, poolName)

  loopAttach: KernelPort['loopAttach'] = (request, signal) => this.#call('loopAttach', signal, request)
  loopList: KernelPort['loopList'] = signal => this.#call('loopList', signal)
  loopStatus: KernelPort['loopStatus'] = (number, signal) => this.#call('loopStatus', signal, number)
  loopSetCapacity: KernelPort['loopSetCapacity'] = (number, signal) => this.#call('loopSetCapacity', signal, number)
  loopDetach: KernelPort['loopDetach'] = (number, limitMs, signal) => this.#call('loopDetach', signal, number, limitMs)
  loopHold: KernelPort['loopHold'] = (number, signal) => this.#call('loopHold', signal, number)
  release = (handle: Handle): void => void this.#addon['release']!(handle)

  identify: KernelPort['identify'] = (path, signal) => this.#call('identify', signal, path)
  createSparse: KernelPort['createSparse'] = (path, sizeBytes, signal) =>
    this.#call('createSparse', signal, path, sizeBytes)
  growFile: KernelPort['growFile'] = (path, sizeBytes, signal) => this.#call('growFile', signal, path, sizeBytes)
  deleteFile: KernelPort['deleteFile'] = (path, signal) => this.#call('deleteFile', signal, path)
  blockSizeBytes: KernelPort['blockSizeBytes'] = (path, signal) => this.#call('blockSizeBytes', signal, path)
  readBlocks: KernelPort['readBlocks'] = (path, blocks, blockBytes, exclusive, signal) =>
    this.#call('readBlocks', signal, path, blocks, blockBytes, exclusive)
  zeroStart: KernelPort['zeroStart'] = (path, lengthBytes, signal) => this.#call('zeroStart', signal, path, lengthBytes)
  mount: KernelPort['mount'] = (request, signal) => this.#call('mount', signal, request)
  unmount: KernelPort['unmount'] = (target, flags, signal) => this.#call('unmount', signal, target, flags)
  holders: KernelPort['holders'] = (device, signal) => this.#call('holders', signal, device)
  noop: KernelPort['noop'] = signal => this.#call('noop', signal)
}

let shared: NativePort | undefined

/** The port of this environment. */
export function nativePort(): KernelPort {
  return (shared ??= new NativePort())
}
