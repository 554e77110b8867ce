// The door to the memory kernel: every method of the port, each refusal by way of the same errno and the same words.
import { setTimeout as sleep } from 'node:timers/promises'
import { abortError, DmThinError, ERRNO, throwIfAborted } from '../errors.js'
import {
  encodeDevice,
  type BatchOptions,
  type DeviceAddress,
  type FileIdentity,
  type Handle,
  type KernelPort,
  type Outcome,
} from '../kernel/port.js'
import { processOpener, type Opener } from './block-device.js'
import { described } from './mapper.js'
import type { MemoryState } from './memory-state.js'
import { Refusal } from './refusal.js'
import { activate, activeThins, admit, foreignThins, snapshot } from './sections.js'
import { TARGETS } from './targets.js'

const VERSION = [4, 48, 0]
const RETRY_MS = 10

export class MemoryPort implements KernelPort {
  readonly #state: MemoryState
  /** Per descriptor: the events that it knows of. */
  readonly #armed = new Map<Handle, number>()

  constructor(state: MemoryState) {
    this.#state = state
  }

  get #mapper() {
    return this.#state.mapper
  }

  get #storage() {
    return this.#state.storage
  }

  /** In a turn of its own, as calls of the native side are; a refusal becomes the error that it would be there. */
  async #call<T>(signal: AbortSignal | undefined, body: () => T | Promise<T>): Promise<T> {
    throwIfAborted(signal)
    await Promise.resolve()
    try {
      return await body()
    } catch (fault) {
      throw fault instanceof Refusal ? fault.toError(signal) : fault
    }
  }

  #step(operation: Parameters<MemoryState['faults']['pass']>[0], device = ''): void {
    this.#state.faults.pass(operation, { device })
  }

  /** Tries again on EBUSY, until `limitMs` are over. */
  async #patiently<T>(limitMs: number, signal: AbortSignal | undefined, attempt: () => T): Promise<T> {
    const deadline = performance.now() + limitMs
    for (let tries = 1; ; tries++) {
      try {
        return attempt()
      } catch (fault) {
        if (!(fault instanceof Refusal)) throw fault
        const left = deadline - performance.now()
        if (fault.failure.errno !== ERRNO.EBUSY || left <= 0) throw fault.with({ tries })
        await sleep(Math.min(RETRY_MS, left), undefined, signal && { signal }).catch(() => {
          throw abortError(signal, { operation: fault.failure.operation, device: fault.failure.device, tries })
        })
      }
    }
  }

  /** Compound calls wait while somebody has the pool's section lock alone. */
  #unlocked(pool: string, signal?: AbortSignal): Promise<true> {
    return this.#state.changes.until(() => (this.#state.locked.has(pool) ? undefined : true), signal, 'flock')
  }

  /** The kernel lets nobody suspend or resume a thin while its pool is suspended. */
  #untilPoolResumed(operation: string, address: DeviceAddress, signal?: AbortSignal): Promise<true> {
    const look = () => (this.#mapper.find(address)?.internalSuspend ? undefined : true)
    return this.#state.changes.until(look, signal, operation)
  }

  version: KernelPort['version'] = signal =>
    this.#call(signal, () => {
      this.#step('DM_VERSION')
      return VERSION
    })

  listDevices: KernelPort['listDevices'] = (filter, signal) => this.#call(signal, () => this.#mapper.list(filter))

  listVersions: KernelPort['listVersions'] = signal =>
    this.#call(signal, () => {
      this.#step('DM_LIST_VERSIONS')
      return Object.entries(TARGETS).map(([name, { version }]) => ({ name, version }))
    })

  targetVersion: KernelPort['targetVersion'] = (type, signal) =>
    this.#call(signal, () => {
      this.#step('DM_GET_TARGET_VERSION', type)
      const known = Object.hasOwn(TARGETS, type) ? TARGETS[type] : undefined
      if (!known) throw new Refusal('DM_GET_TARGET_VERSION', ERRNO.EINVAL, { device: type })
      return { name: type, version: known.version }
    })

  removeAll: KernelPort['removeAll'] = (flags, signal) => this.#call(signal, () => this.#mapper.removeAll(flags))

  create: KernelPort['create'] = (name, uuid, signal, wanted) =>
    this.#call(signal, () => this.#mapper.create(name, uuid, wanted))

  remove: KernelPort['remove'] = (address, limitMs, signal, deferred) =>
    this.#call(signal, () => this.#patiently(limitMs, signal, () => this.#mapper.remove(address, deferred)))

  rename: KernelPort['rename'] = (name, to, signal) => this.#call(signal, () => this.#mapper.rename(name, { to }))

  setUuid: KernelPort['setUuid'] = (name, uuid, signal) => this.#call(signal, () => this.#mapper.rename(name, { uuid }))

  setGeometry: KernelPort['setGeometry'] = (address, geometry, signal) =>
    this.#call(signal, () => {
      const device = this.#mapper.lookup('DM_DEV_SET_GEOMETRY', address)
      const [cylinders = 0, heads = 0, sectors = 0, start = 0] = geometry.split(' ').map(Number)
      const complete = geometry.split(' ').length === 4
      const fits =
        complete && cylinders <= 65535 && heads <= 255 && sectors <= 255 && start <= cylinders * heads * sectors
      if (!fits) throw new Refusal('DM_DEV_SET_GEOMETRY', ERRNO.EINVAL, { device: described(address) })
      return device.info()
    })

  suspend: KernelPort['suspend'] = (address, _flags, signal) =>
    this.#call(signal, async () => {
      await this.#untilPoolResumed('DM_DEV_SUSPEND', address, signal)
      return this.#mapper.suspend(address)
    })

  resume: KernelPort['resume'] = (address, signal) =>
    this.#call(signal, async () => {
      await this.#untilPoolResumed('DM_DEV_RESUME', address, signal)
      return this.#mapper.resume(address)
    })

  deviceStatus: KernelPort['deviceStatus'] = (address, signal, flags) =>
    this.#call(signal, () => this.#mapper.status(address, flags))

  wait: KernelPort['wait'] = (address, eventNumber, flags, signal) =>
    this.#call(signal, async () => {
      const device = this.#mapper.lookup('DM_DEV_WAIT', address)
      const look = () => (device.eventNumber === eventNumber ? undefined : device.info())
      const info = await this.#state.changes.until(look, signal, 'DM_DEV_WAIT')
      return { info, targets: this.#mapper.tableStatus({ device: device.number }, flags) }
    })

  tableLoad: KernelPort['tableLoad'] = (address, table, flags, signal) =>
    this.#call(signal, () => this.#mapper.load(address, table, flags))

  tableClear: KernelPort['tableClear'] = (address, signal) => this.#call(signal, () => this.#mapper.clear(address))

  tableDeps: KernelPort['tableDeps'] = (address, signal, flags) =>
    this.#call(signal, () => this.#mapper.deps(address, flags))

  tableStatus: KernelPort['tableStatus'] = (address, flags, signal) =>
    this.#call(signal, () => this.#mapper.tableStatus(address, flags))

  statusMany: KernelPort['statusMany'] = (prefix, ids, signal) =>
    this.#call(signal, () => {
      const line = (id: number): string => {
        try {
          const [first] = this.#mapper.tableStatus({ uuid: prefix + id }, 0)
          return `0 ${first?.lengthSectors ?? 0} ${first?.parameters ?? ''}\n`
        } catch (fault) {
          if (fault instanceof Refusal) return `${fault.failure.errno} 0 \n`
          throw fault
        }
      }
      return Array.from(ids, line).join('')
    })

  targetMessage: KernelPort['targetMessage'] = (address, sector, message, signal) =>
    this.#call(signal, () => this.#mapper.message(address, sector, message))

  openEvents = (): Handle => {
    const handle = this.#state.handle(() => void this.#armed.delete(handle))
    this.#armed.set(handle, -1)
    return handle
  }

  armEvents: KernelPort['armEvents'] = (events, signal) =>
    this.#call(signal, () => {
      this.#step('DM_DEV_ARM_POLL')
      this.#armed.set(events, this.#mapper.events)
    })

  pollEvents: KernelPort['pollEvents'] = (events, signal) =>
    this.#call(signal, async () => {
      const look = () => (this.#armed.get(events) === this.#mapper.events ? undefined : true)
      await this.#state.changes.until(look, signal, 'poll events')
    })

  nextList: KernelPort['nextList'] = async (events, filter, poll, signal) => {
    if (poll) await this.pollEvents(events, signal)
    await this.armEvents(events, signal)
    return this.listDevices(filter, signal)
  }

  activate: KernelPort['activate'] = (request, signal) =>
    this.#call(signal, async () => {
      if (request.guard) await this.#unlocked(request.guard.lock, signal)
      admit(this.#mapper, request.guard, request)
      return activate(this.#mapper, request)
    })

  activateMany: KernelPort['activateMany'] = (guard, requests, options) =>
    this.#batch(requests, options, async request => {
      const info = await this.activate({ ...request, guard }, options.signal)
      return info.device
    })

  removeMany: KernelPort['removeMany'] = (addresses, limitMs, options) =>
    this.#batch(addresses, options, async address => (await this.remove(address, limitMs, options.signal)).device)

  snapshot: KernelPort['snapshot'] = (request, signal) =>
    this.#call(signal, async () => {
      await this.#unlocked(request.poolName, signal)
      return snapshot(this.#mapper, request)
    })

  activeThins: KernelPort['activeThins'] = (pool, signal) => this.#call(signal, () => activeThins(this.#mapper, pool))

  foreignThins: KernelPort['foreignThins'] = (pool, ownPrefix, signal) =>
    this.#call(signal, () => foreignThins(this.#mapper, pool, ownPrefix))

  lockPool: KernelPort['lockPool'] = (poolName, signal) =>
    this.#call(signal, () => {
      const { locked } = this.#state
      if (locked.has(poolName)) throw new Refusal('flock', ERRNO.EAGAIN, { device: poolName })
      locked.add(poolName)
      return this.#state.handle(() => void locked.delete(poolName))
    })

  loopAttach: KernelPort['loopAttach'] = (request, signal) =>
    this.#call(signal, () => {
      this.#step('LOOP_CONFIGURE', request.file)
      const loop = this.#storage.attach(request)
      return { ...loop.status, held: this.#state.handle(loop.open(processOpener())) }
    })

  loopList: KernelPort['loopList'] = signal => this.#call(signal, () => this.#storage.loops.map(loop => loop.status))

  loopStatus: KernelPort['loopStatus'] = (number, signal) =>
    this.#call(signal, () => this.#storage.attached('LOOP_GET_STATUS64', number).status)

  loopSetCapacity: KernelPort['loopSetCapacity'] = (number, signal) =>
    this.#call(signal, () => {
      this.#step('LOOP_SET_CAPACITY', `/dev/loop${number}`)
      const loop = this.#storage.attached('LOOP_SET_CAPACITY', number)
      loop.setCapacity()
      return loop.status
    })

  loopDetach: KernelPort['loopDetach'] = (number, limitMs, signal) =>
    this.#call(signal, () =>
      this.#patiently(limitMs, signal, () => {
        this.#step('LOOP_CLR_FD', `/dev/loop${number}`)
        if (this.#storage.detach(number)) return
        const detail = 'held open; the kernel detaches it at the last close'
        throw new Refusal('LOOP_CLR_FD', ERRNO.EBUSY, { device: `/dev/loop${number}`, detail })
      }),
    )

  loopHold: KernelPort['loopHold'] = (number, signal) =>
    this.#call(signal, () => this.#state.handle(this.#storage.attached('open loop', number).open(processOpener())))

  release = (handle: Handle): void => this.#state.release(handle)

  identify: KernelPort['identify'] = (path, signal) =>
    this.#call(signal, (): FileIdentity => {
      const node = this.#state.node(path)
      if (!node) return this.#storage.opened(path).identity
      const nothing = { sizeBytes: 0, allocatedBytes: 0, regular: false }
      return {
        device: encodeDevice(0, 5),
        inode: node.number,
        blockDevice: true,
        targetDevice: node.number,
        ...nothing,
      }
    })

  createSparse: KernelPort['createSparse'] = (path, sizeBytes, signal) =>
    this.#call(signal, () => {
      this.#step('create file', path)
      return this.#storage.createSparse(path, sizeBytes)
    })

  growFile: KernelPort['growFile'] = (path, sizeBytes, signal) =>
    this.#call(signal, () => {
      this.#step('ftruncate', path)
      return this.#storage.growFile(path, sizeBytes)
    })

  deleteFile: KernelPort['deleteFile'] = (path, signal) =>
    this.#call(signal, () => {
      this.#step('unlink', path)
      this.#storage.deleteFile(path)
    })

  blockSizeBytes: KernelPort['blockSizeBytes'] = (path, signal) =>
    this.#call(signal, () => this.#state.device('BLKGETSIZE64', path).sizeBytes)

  readBlocks: KernelPort['readBlocks'] = (path, blocks, blockBytes, exclusive, signal) =>
    this.#call(signal, () => {
      const bytes = this.#state.content(path)
      if (exclusive && this.#state.node(path)?.refuses('alone')) {
        throw new Refusal('open', ERRNO.EBUSY, { device: path })
      }
      this.#step('pread', path)
      return blocks.map(block => {
        const content = new Uint8Array(blockBytes)
        const left = Math.max(0, Math.min(blockBytes, bytes.sizeBytes - block * blockBytes))
        content.set(bytes.read(block * blockBytes, left))
        return content
      })
    })

  zeroStart: KernelPort['zeroStart'] = (path, lengthBytes, signal) =>
    this.#call(signal, () => {
      const device = this.#state.device('pwrite', path)
      if (device.refuses('alone')) throw new Refusal('open', ERRNO.EBUSY, { device: path })
      this.#step('pwrite', path)
      device.write(0, new Uint8Array(lengthBytes))
    })

  mount: KernelPort['mount'] = ({ source, target }, signal) =>
    this.#call(signal, () => {
      this.#step('mount', source)
      const device = this.#state.device('mount', source)
      if (device.refuses('alone')) throw new Refusal('mount', ERRNO.EBUSY, { device: source, detail: target })
      const opener: Opener = { kind: 'mount', path: target, pid: process.pid, claim: 'alone' }
      this.#state.mounts.push({ target, close: device.open(opener) })
    })

  unmount: KernelPort['unmount'] = (target, _flags, signal) =>
    this.#call(signal, () => {
      this.#step('umount2', target)
      const at = this.#state.mounts.map(mount => mount.target).lastIndexOf(target)
      if (at < 0) throw new Refusal('umount2', ERRNO.EINVAL, { device: target })
      for (const { close } of this.#state.mounts.splice(at, 1)) close()
    })

  holders: KernelPort['holders'] = (device, signal) =>
    this.#call(signal, () => {
      const openers = this.#state.numbered(device)?.openers ?? []
      return openers.map(({ kind, path, pid }) => ({ kind, path, pid }))
    })

  noop: KernelPort['noop'] = signal => this.#call(signal, () => 0)

  async #batch<T>(
    items: readonly T[],
    { onDone, signal }: BatchOptions,
    one: (item: T) => Promise<number>,
  ): Promise<Outcome[]> {
    throwIfAborted(signal)
    let done = 0
    const outcomes = items.map(async (item): Promise<Outcome> => {
      const outcome = await one(item).catch((fault: unknown) => {
        if (fault instanceof DmThinError) return fault
        throw fault
      })
      done += 1
      onDone?.(done)
      return outcome
    })
    return Promise.all(outcomes)
  }
}
