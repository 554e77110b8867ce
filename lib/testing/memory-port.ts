// The memory kernel's implementation of the kernel interface. Its errors have the same errno and text as those of the
// native side.
import { DmThinError, ERRNO, throwIfAborted } from '../base/errors.js'
import { addressOf } from '../pool/state/context.js'
import { message } from '../target/messages.js'
import type { BatchOptions, Outcome } from '../kernel/port/pool-port.js'
import { TABLE_FLAG, type DeviceAddress } from '../kernel/port/device-port.js'
import type { KernelPort } from '../kernel/port/kernel-port.js'
import type { Handle } from '../kernel/port/handle.js'
import { METADATA_BLOCK_BYTES } from '../metadata/block-source.js'
import { commit, committedMessage } from './commit.js'
import { described } from './mapper.js'
import { Refusal } from './refusal.js'
import { activate, activeThins, admit, foreignThins, moveToSnapshot, poolDevice, snapshot } from './sections.js'
import { inventory, thinNumbers } from './inventory.js'
import { StoragePort } from './storage-port.js'
import { TARGETS } from './targets.js'

const VERSION = [4, 48, 0]

function thinKey(pool: string, thinId: number): string {
  if (!Number.isInteger(thinId)) throw new TypeError(`a thin id is a whole number, not ${thinId}`) // as the native part
  return `${pool} ${thinId}`
}

/** The kernel interface of a memory kernel. */
export class MemoryPort extends StoragePort implements KernelPort {
  /** No links are created: /dev/mapper does not exist in memory. */
  readonly mapperLinks = { make: () => {}, drop: () => {}, leads: () => false }
  /** The number of events at the last arming, by descriptor. */
  readonly #armed = new Map<Handle, number>()

  get #mapper() {
    return this.state.mapper
  }

  /** Runs `body` with a shared lock of the pool and an exclusive one of the thin id. */
  async #inSection<T>(pool: string, id: number, signal: AbortSignal | undefined, body: () => T) {
    const leave = await this.state.locks.take(pool, 'shared', signal)
    try {
      return await this.#withThin(pool, id, signal, body)
    } finally {
      leave()
    }
  }

  /** Runs `body` with an exclusive lock of the thin id. */
  async #withThin<T>(pool: string, id: number, signal: AbortSignal | undefined, body: () => T) {
    const release = await this.state.locks.take(thinKey(pool, id), 'exclusive', signal)
    try {
      return body()
    } finally {
      release()
    }
  }

  /** Waits until the pool is resumed: the kernel does not suspend or resume a thin while its pool is suspended. */
  #untilPoolResumed(operation: string, address: DeviceAddress, signal?: AbortSignal): Promise<true> {
    const look = () => (this.#mapper.find(address)?.internalSuspend ? undefined : true)
    return this.state.changes.until(look, signal, operation)
  }

  version: KernelPort['version'] = signal =>
    this.call(signal, () => {
      this.step('DM_VERSION')
      return VERSION
    })

  listDevices: KernelPort['listDevices'] = (filter, signal) => this.call(signal, () => this.#mapper.list(filter))

  listVersions: KernelPort['listVersions'] = signal =>
    this.call(signal, () => {
      this.step('DM_LIST_VERSIONS')
      return Object.entries(TARGETS).map(([name, { version }]) => ({ name, version }))
    })

  targetVersion: KernelPort['targetVersion'] = (type, signal) =>
    this.call(signal, () => {
      this.step('DM_GET_TARGET_VERSION', type)
      const known = Object.hasOwn(TARGETS, type) ? TARGETS[type] : undefined
      if (!known) throw new Refusal('DM_GET_TARGET_VERSION', ERRNO.EINVAL, { device: type })
      return { name: type, version: known.version }
    })

  removeAll: KernelPort['removeAll'] = (flags, signal) => this.call(signal, () => this.#mapper.removeAll(flags))

  create: KernelPort['create'] = (name, uuid, signal, wanted) =>
    this.call(signal, () => this.#mapper.create(name, uuid, wanted))

  remove: KernelPort['remove'] = (address, limitMs, signal, deferred) =>
    this.call(signal, () => this.retryWhileBusy(limitMs, signal, () => this.#mapper.remove(address, deferred)))

  rename: KernelPort['rename'] = (name, to, signal) => this.call(signal, () => this.#mapper.rename(name, { to }))

  setUuid: KernelPort['setUuid'] = (name, uuid, signal) => this.call(signal, () => this.#mapper.rename(name, { uuid }))

  setGeometry: KernelPort['setGeometry'] = (address, geometry, signal) =>
    this.call(signal, () => {
      this.#mapper.lookup('DM_DEV_SET_GEOMETRY', address)
      const [cylinders = 0, heads = 0, sectors = 0, start = 0] = geometry.split(' ').map(Number)
      const complete = geometry.split(' ').length === 4
      const fits =
        complete && cylinders <= 65535 && heads <= 255 && sectors <= 255 && start <= cylinders * heads * sectors
      if (!fits) throw new Refusal('DM_DEV_SET_GEOMETRY', ERRNO.EINVAL, { device: described(address) })
    })

  suspend: KernelPort['suspend'] = (address, _flags, signal) =>
    this.call(signal, async () => {
      await this.#untilPoolResumed('DM_DEV_SUSPEND', address, signal)
      return this.#mapper.suspend(address)
    })

  resume: KernelPort['resume'] = (address, signal) =>
    this.call(signal, async () => {
      await this.#untilPoolResumed('DM_DEV_RESUME', address, signal)
      return this.#mapper.resume(address)
    })

  deviceStatus: KernelPort['deviceStatus'] = (address, signal, flags) =>
    this.call(signal, () => this.#mapper.status(address, flags))

  wait: KernelPort['wait'] = (address, eventNumber, flags, signal) =>
    this.call(signal, async () => {
      const device = this.#mapper.lookup('DM_DEV_WAIT', address)
      const look = () => (device.eventNumber === eventNumber ? undefined : device.info())
      const info = await this.state.changes.until(look, signal, 'DM_DEV_WAIT')
      return { info, targets: this.#mapper.linesOf(device, flags) }
    })

  tableLoad: KernelPort['tableLoad'] = (address, table, flags, signal) =>
    this.call(signal, () => this.#mapper.load(address, table, flags))

  tableClear: KernelPort['tableClear'] = (address, signal) => this.call(signal, () => this.#mapper.clear(address))

  tableDeps: KernelPort['tableDeps'] = (address, signal, flags) =>
    this.call(signal, () => this.#mapper.deps(address, flags))

  tableStatus: KernelPort['tableStatus'] = (address, flags, signal) =>
    this.call(signal, () => this.#mapper.tableStatus(address, flags))

  deviceLines: KernelPort['deviceLines'] = (address, flags, signal) =>
    this.call(signal, () => {
      const device = this.#mapper.lookup('DM_TABLE_STATUS', address)
      return { info: device.info(), targets: this.#mapper.linesOf(device, flags) }
    })

  inventory: KernelPort['inventory'] = (pool, signal) => this.call(signal, () => inventory(this.#mapper, pool))

  poolStatus: KernelPort['poolStatus'] = async (address, metadataPath, signal) => {
    const lines = await this.call(signal, () => ({
      table: this.#mapper.tableStatus(address, TABLE_FLAG.table | TABLE_FLAG.noflush),
      status: this.#mapper.tableStatus(address, TABLE_FLAG.noflush),
    }))
    const [superblock] = await this.readBlocks(metadataPath, [0], METADATA_BLOCK_BYTES, false, signal).catch(() => [])
    return { ...lines, superblock }
  }

  statusMany: KernelPort['statusMany'] = (prefix, ids, signal) =>
    this.call(signal, () => {
      const numbers = Array.from(ids, id => {
        try {
          return thinNumbers(this.#mapper.tableStatus({ uuid: prefix + id }, 0))
        } catch (fault) {
          if (fault instanceof Refusal) return thinNumbers([])
          throw fault
        }
      })
      return Float64Array.from(numbers.flat())
    })

  targetMessage: KernelPort['targetMessage'] = (address, sector, message, signal, _flags, committed = false) =>
    this.call(signal, () =>
      committed
        ? committedMessage(this.#mapper, address, sector, message)
        : this.#mapper.message(address, sector, message),
    )
  targetMessages: KernelPort['targetMessages'] = (address, sector, messages, committed, options) =>
    this.#batch(messages, options, async message => {
      await this.targetMessage(address, sector, message, options.signal, 0, committed)
      return 0
    })
  createThin: KernelPort['createThin'] = async ({ pool, id, originId, committed }, signal) => {
    const text = originId === undefined ? message.createThin(id) : message.createSnap(id, originId)
    await this.targetMessage(addressOf(pool), 0, text, signal, 0, committed)
  }
  commit: KernelPort['commit'] = (pool, signal) => this.call(signal, () => commit(this.#mapper, pool))

  openEvents = (): Handle => {
    const handle = this.state.handle(() => void this.#armed.delete(handle))
    this.#armed.set(handle, -1)
    return handle
  }

  armEvents: KernelPort['armEvents'] = (events, signal) =>
    this.call(signal, () => {
      this.step('DM_DEV_ARM_POLL')
      this.#armed.set(events, this.#mapper.events)
    })

  pollEvents: KernelPort['pollEvents'] = (events, signal) =>
    this.call(signal, async () => {
      const look = () => (this.#armed.get(events) === this.#mapper.events ? undefined : true)
      await this.state.changes.until(look, signal, 'poll events')
    })

  nextList: KernelPort['nextList'] = async (events, filter, poll, signal) => {
    if (poll) await this.pollEvents(events, signal)
    await this.armEvents(events, signal)
    return this.listDevices(filter, signal)
  }

  /** Simulates a udev that completes immediately. */
  udevBegin: KernelPort['udevBegin'] = signal => this.call(signal, () => this.state.handle(() => {}))
  udevWait: KernelPort['udevWait'] = (_transaction, _limitMs, signal) => this.call(signal, () => {})
  udevSweep: KernelPort['udevSweep'] = () => Promise.resolve(0)

  activate: KernelPort['activate'] = (request, signal) =>
    this.call(signal, () => {
      const { guard, thinId } = request
      const act = () => {
        admit(this.#mapper, guard, request)
        return activate(this.#mapper, request)
      }
      if (!guard || thinId === undefined) return act()
      return this.#inSection(guard.pool.name, thinId, signal, act)
    })

  activateMany: KernelPort['activateMany'] = (guard, requests, options) =>
    this.#batch(requests, options, async request => {
      const info = await this.activate({ ...request, guard }, options.signal)
      return info.device
    })

  deactivate: KernelPort['deactivate'] = ({ pool, looks }, { address, thinId }, limitMs, signal) =>
    this.call(signal, () =>
      this.retryWhileBusy(limitMs, signal, () =>
        this.#withThin(pool.name, thinId, signal, () => {
          if (looks) poolDevice(this.#mapper, pool)
          return this.#mapper.remove(address)
        }),
      ),
    )

  deactivateMany: KernelPort['deactivateMany'] = (guard, volumes, limitMs, options) =>
    this.#batch(volumes, options, async volume => {
      const { device } = await this.deactivate(guard, volume, limitMs, options.signal)
      return device
    })

  snapshot: KernelPort['snapshot'] = (request, signal) =>
    this.call(signal, () =>
      this.#inSection(request.pool.name, request.originId, signal, () => snapshot(this.#mapper, request)),
    )

  snapshotActive: KernelPort['snapshotActive'] = async (request, activation, signal) => {
    const outcome = await this.snapshot(request, signal)
    if (outcome.items.length !== 1 || outcome.items[0]!.errno !== 0) return outcome
    const activated = await this.activate(activation, signal).then(
      info => info.device,
      (fault: DmThinError) => fault,
    )
    return { ...outcome, activated }
  }

  moveToSnapshot: KernelPort['moveToSnapshot'] = (request, signal) =>
    this.call(signal, () =>
      this.#inSection(request.pool.name, request.lockedId, signal, () => moveToSnapshot(this.#mapper, request)),
    )

  activeThins: KernelPort['activeThins'] = (pool, signal) => this.call(signal, () => activeThins(this.#mapper, pool))

  foreignThins: KernelPort['foreignThins'] = (pool, ownPrefix, signal) =>
    this.call(signal, () => foreignThins(this.#mapper, pool, ownPrefix))

  lockPool: KernelPort['lockPool'] = (key, signal) =>
    this.call(signal, async () => this.state.handle(await this.state.locks.take(key, 'exclusive', signal)))

  tryLockPool: KernelPort['tryLockPool'] = key =>
    this.call(undefined, () => {
      const release = this.state.locks.tryTake(key, 'exclusive')
      return release && this.state.handle(release)
    })

  lockThin: KernelPort['lockThin'] = (pool, thinId, signal) =>
    this.call(signal, async () =>
      this.state.handle(await this.state.locks.take(thinKey(pool, thinId), 'shared', signal)),
    )

  wallClock = (): bigint => BigInt(Date.now()) * 1_000_000n
  noop: KernelPort['noop'] = signal => this.call(signal, () => 0)

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
