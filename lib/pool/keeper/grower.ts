// Growth of a pool whose free space is low.
import { DmThinError } from '../../base/errors.js'
import { shown } from '../../base/options.js'
import { isolated } from '../../events/device-watch.js'
import { growAlone } from '../lifecycle/grow.js'
import { refuseSuspended, reload } from '../lifecycle/reload.js'
import { poolTable, type PoolContext } from '../state/context.js'
import { withPoolLock } from '../state/locks.js'
import { readPoolStatus, type SpaceStatus, type WorkingPoolStatus } from '../state/status.js'
import { roomOf, type BackingRoom } from './backing-room.js'
import { Extension, type ExtensionEnd } from './extension.js'
import { lowBlocks, possibleBytes, wantedBytes } from './growth.js'
import type { Reports } from './reports.js'
import type { GrowthRule, KeepPlan, PoolRole } from './keep-options.js'
import type { Spares } from '../spares/spares.js'

/** Metadata comes first: a pool that is out of metadata does not grow its data either. */
const ROLES: readonly PoolRole[] = ['metadata', 'data']

/** A full pool is looked at this often at least: the kernel lets writers wait for 60 s. */
const FULL_LOOK_MS = 5_000

export type Rules = Readonly<Record<PoolRole, GrowthRule>>

/** The size that a device should get, and the size that it can get. */
interface Need {
  readonly space: SpaceStatus
  readonly room: BackingRoom
  readonly wanted: number
  readonly target: number
}

export class Grower {
  readonly #context: PoolContext
  readonly #plan: KeepPlan
  readonly #rules: Rules
  readonly #signal: AbortSignal
  readonly #reports: Reports
  readonly #spares: Spares
  readonly #extensions: Readonly<Record<PoolRole, Extension>>
  #isFull = false
  /** When the kernel last began to count the time that writers wait. */
  #waitingSince: number | undefined

  /** `signal` ends a growth between two steps. `wake` is called when a hook has ended. */
  constructor(
    context: PoolContext,
    plan: KeepPlan,
    rules: Rules,
    reports: Reports,
    spares: Spares,
    wake: () => void,
    signal: AbortSignal,
  ) {
    this.#context = context
    this.#plan = plan
    this.#rules = rules
    this.#reports = reports
    this.#spares = spares
    this.#signal = signal
    const extension = () => new Extension(plan.extendTimeoutMs, signal, wake)
    this.#extensions = { data: extension(), metadata: extension() }
  }

  /**
   * Grows each device that is low, until it is not. Lets the writers of a pool that stays full wait on. Returns the time
   * until the next look, if no event comes before it.
   */
  async look(): Promise<number> {
    for (const role of ROLES) {
      for (let more = true; more && !this.#signal.aborted;) more = await this.#grow(role)
    }
    const { mode, data } = await this.#status()
    if (mode === 'rw') this.#spares.refill(data, lowBlocks(this.#rules.data, data.blockBytes))
    if (mode === 'out_of_data_space') await this.#waitOn()
    else if (!this.#isFull) this.#waitingSince = undefined
    return this.#pauseMs
  }

  get #pauseMs(): number {
    const { lookEveryMs } = this.#plan
    return this.#waitingSince === undefined ? lookEveryMs : Math.min(lookEveryMs, FULL_LOOK_MS)
  }

  async #status(): Promise<WorkingPoolStatus> {
    const { name, counts } = this.#context
    const status = await readPoolStatus(this.#context, this.#signal)
    if (status.data === undefined) {
      throw new DmThinError('DM_POOL_FAILED', `pool ${name} has failed, so it cannot grow`, { device: name })
    }
    const isFull = status.mode === 'out_of_data_space'
    if (isFull && !this.#isFull) counts.waits += 1
    // A full pool whose table was loaded again is `rw` until a write finds no block: that is the same wait.
    if (isFull || status.data.usedBlocks < status.data.totalBlocks) this.#isFull = isFull
    return status
  }

  /**
   * Lets writers wait on, before the kernel fails those that have waited for a minute: loading the table again makes the
   * pool retry them and restarts the count. Done by the clock and not at each event, because the retry raises one.
   */
  async #waitOn(): Promise<void> {
    const now = performance.now()
    this.#waitingSince ??= now
    if (now - this.#waitingSince < this.#pauseMs) return
    const { port, name } = this.#context
    await withPoolLock(port, name, this.#signal, async () => {
      await refuseSuspended(this.#context)
      const table = await poolTable(this.#context)
      await reload(this.#context, table, table)
    })
    this.#waitingSince = now
  }

  /** Returns true if the device has grown. It may still be low. */
  async #grow(role: PoolRole): Promise<boolean> {
    const end = this.#extensions[role].takeEnd()
    const seen = await this.#need(role)
    if (seen === undefined) return false
    if (!seen.room.isFile && seen.room.backingBytes < seen.target && end === undefined) {
      this.#extend(role, seen)
      return false
    }
    let growth: Need | undefined
    // Other calls may have grown the pool or filled the disk in the meantime: the size is decided under the lock.
    await growAlone(this.#context, this.#signal, async () => {
      const need = await this.#need(role)
      if (need === undefined) return undefined
      this.#reportShortage(role, need, end)
      const bytes = sizeFor(role, need)
      if (bytes <= need.space.totalBytes) return undefined
      growth = { ...need, target: bytes }
      return { dataBytes: undefined, metadataBytes: undefined, [`${role}Bytes`]: bytes }
    })
    if (growth === undefined) return false
    const { space, target, wanted } = growth
    this.#context.counts.growths += 1
    if (target >= wanted) this.#reports.forget(role)
    isolated(() => this.#plan.onGrow?.({ role, fromBytes: space.totalBytes, toBytes: target }))
    return true
  }

  /** Returns what a device needs; undefined if it is not low. */
  async #need(role: PoolRole): Promise<Need | undefined> {
    const rule = this.#rules[role]
    const space = (await this.#status())[role]
    const wanted = wantedBytes(rule, space)
    if (wanted <= space.totalBytes) return undefined
    const room = await roomOf(this.#context, role, this.#plan.hostReserveBytes, this.#signal)
    return { space, room, wanted, target: possibleBytes(wanted, rule, space, room) }
  }

  /** Starts the hook, unless it runs. Its end wakes the keeper. */
  #extend(role: PoolRole, { room, target }: Need): void {
    const { extend } = this.#plan[role]
    if (extend === undefined) return // checkHooks has made sure of it, unless the pool's table has changed
    const request = { pool: this.#context.name, role, device: room.path, sizeBytes: room.backingBytes }
    this.#extensions[role].start(extend, { ...request, wantedBytes: target })
  }

  /** Reports a device that cannot have the size that the rule asks for. */
  #reportShortage(role: PoolRole, need: Need, end: ExtensionEnd | undefined): void {
    const { space, room, wanted } = need
    const isLimited = need.target < wanted
    // A hook that did its part is called again: the need has grown while it ran.
    const isTooSmall = !room.isFile && end !== undefined && room.backingBytes < end.wantedBytes
    if (!isLimited && !isTooSmall) return
    const { name } = this.#context
    const missingBytes = wanted - Math.max(sizeFor(role, need), space.totalBytes)
    const isAtMost = need.target > this.#rules[role].maxBytes - space.blockBytes
    const lack = isAtMost ? 'maxBytes is reached' : `the file system of ${room.path} has too little space`
    const why = isTooSmall ? `${room.path} is too small` : lack
    const cause = isTooSmall ? end.cause : undefined
    const thrown = cause === undefined ? '' : ` (${cause instanceof Error ? cause.message : shown(cause)})`
    const text = `pool ${name}: ${role} needs ${missingBytes} bytes more, but ${why}${thrown}`
    const facts = { device: name, detail: role, missingBytes, cause }
    this.#reports.report(role, new DmThinError('DM_POOL_NOT_GROWN', text, facts))
  }
}

/** Returns the size to grow to now: of a block device, the part of it that the device already has. */
function sizeFor(role: PoolRole, { space, room, target }: Need): number {
  const { backingBytes } = room
  if (!room.isFile) return Math.min(target, backingBytes - (backingBytes % space.blockBytes))
  // The kernel uses all of the metadata device. It may be longer than the pool: a keeper was killed as it grew it.
  return role === 'metadata' && target > space.totalBytes ? Math.max(target, backingBytes) : target
}
