// Events of mapped devices: one descriptor and one waiting thread, however many listen.
import { EventEmitter } from 'node:events'
import { DmThinError } from '../base/errors.js'
import type { KernelOption } from '../kernel/kernel-option.js'
import { portOf } from '../kernel/native-port.js'
import type { KernelPort } from '../kernel/port/kernel-port.js'
import type { ListedDevice } from '../kernel/port/device-port.js'
import { checkOptions, checkText, type SignalOption } from '../base/options.js'
import { changesBetween, known, type DeviceEvent, type Known } from './device-changes.js'
import { EventQueue, type Merging, type Overflow } from './event-queue.js'

interface Listener {
  readonly onChanges: (changes: readonly DeviceEvent[]) => void
  readonly onFault: (fault: DmThinError) => void
}

interface Joining {
  readonly listener: Listener
  readonly resolve: () => void
  readonly reject: (fault: DmThinError) => void
}

export const asError = (fault: unknown): DmThinError =>
  fault instanceof DmThinError ? fault : new DmThinError('DM_KERNEL', String(fault), { cause: fault })

/** What a caller's listener throws is an uncaught error of its own, as of any emitter, and ends no watch of another. */
function isolated(tell: () => void, onThrown: (thrown: unknown) => void = uncaught): void {
  try {
    tell()
  } catch (thrown) {
    onThrown(thrown)
  }
}

function uncaught(thrown: unknown): void {
  queueMicrotask(() => {
    throw thrown
  })
}

/** The one loop: poll, arm, list; what differs from the last list is reported. */
class EventHub {
  readonly #port: KernelPort
  readonly #listeners = new Set<Listener>()
  #joining: Joining[] = []
  #poll: AbortController | undefined
  #running = false

  constructor(port: KernelPort) {
    this.#port = port
  }

  /** Resolves once `listener` hears of everything that happens from then on. */
  join(listener: Listener): Promise<void> {
    const joined = new Promise<void>((resolve, reject) => this.#joining.push({ listener, resolve, reject }))
    this.#poll?.abort() // a fresh list is where the new listener begins
    if (!this.#running) void this.#run()
    return joined
  }

  leave(listener: Listener): void {
    this.#listeners.delete(listener)
    for (const each of this.#joining) if (each.listener === listener) each.resolve()
    this.#joining = this.#joining.filter(each => each.listener !== listener)
    if (this.#listeners.size === 0 && this.#joining.length === 0) this.#poll?.abort()
  }

  async #run(): Promise<void> {
    this.#running = true
    const handle = this.#port.openEvents()
    let before: Known | undefined
    try {
      while (this.#listeners.size > 0 || this.#joining.length > 0) {
        const joining = this.#joining
        this.#poll = new AbortController()
        const list = await this.#list(handle, joining.length === 0, this.#poll.signal)
        if (!list) continue
        const after = known(list)
        const changes = before ? changesBetween(before, after) : []
        before = after
        if (changes.length > 0) for (const { onChanges } of [...this.#listeners]) isolated(() => onChanges(changes))
        this.#admit(joining)
      }
    } catch (fault) {
      const error = asError(fault)
      for (const { reject } of this.#joining.splice(0)) reject(error)
      for (const { onFault } of [...this.#listeners]) isolated(() => onFault(error))
      this.#listeners.clear()
    } finally {
      this.#running = false
      void this.#port.release(handle)
    }
    if (this.#joining.length > 0) void this.#run()
  }

  async #list(
    handle: ReturnType<KernelPort['openEvents']>,
    poll: boolean,
    signal: AbortSignal,
  ): Promise<ListedDevice[] | undefined> {
    try {
      return await this.#port.nextList(handle, {}, poll, poll ? signal : undefined)
    } catch (fault) {
      if (signal.aborted) return undefined // somebody joined, or the last one left
      throw fault
    }
  }

  #admit(joining: readonly Joining[]): void {
    this.#joining = this.#joining.filter(each => !joining.includes(each))
    for (const { listener, resolve } of joining) {
      this.#listeners.add(listener)
      resolve()
    }
  }
}

const hubs = new WeakMap<KernelPort, EventHub>()

export function eventHub(port: KernelPort): EventHub {
  const hub = hubs.get(port) ?? new EventHub(port)
  hubs.set(port, hub)
  return hub
}

/** Options of `watchDevices`. */
export interface DeviceWatchOptions extends KernelOption, SignalOption {
  /** Only devices whose name begins so. Default: all. */
  readonly namePrefix?: string
  readonly uuidPrefix?: string
  /** Ends it: the iterator is over, and nothing more is emitted. */
  readonly signal?: AbortSignal
}

interface WatchEvents<T> {
  change: [T]
  /** Something is wrong with listening itself; nothing more comes. */
  fault: [DmThinError]
  close: []
  /** What a listener of `change` has thrown. Where nobody listens for it, it is an uncaught error. The watch goes on. */
  error: [unknown]
}

/** An EventEmitter (`change`, `fault`, `close`, `error`) and an async iterator over one stream. It keeps the process alive. */
export class Watch<T> extends EventEmitter<WatchEvents<T>> implements AsyncDisposable {
  readonly #queue: EventQueue<T>
  #read = false
  #closed = false
  #ready: Promise<void> = Promise.resolve()
  #onClose: () => void = () => {}

  /** @internal */
  constructor(merging: Merging<T>) {
    super()
    this.#queue = new EventQueue(merging, () => this.close())
  }

  /** Resolves once everything that happens from then on is heard of; rejects where listening is not possible. */
  get ready(): Promise<void> {
    return this.#ready
  }

  /** Whether the watch has ended. */
  get closed(): boolean {
    return this.#closed
  }

  /** Ends it. Idempotent. What has not been read yet can still be read. */
  close(): void {
    this.#end()
  }

  /** One reader. Events from before the first call are there too, from when the watch was made. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T | Overflow> {
    this.#read = true
    return this.#queue
  }

  /** Calls `close()`: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** @internal */
  tell(event: T): void {
    if (this.#closed) return
    isolated(() => this.emit('change', event), this.#thrown)
    // Whoever listens by emitter and never iterates must not fill a queue.
    if (this.#read || this.listenerCount('change') === 0) this.#queue.push(event)
  }

  /** @internal */
  fail(fault: DmThinError): void {
    this.#end(fault)
  }

  /** @internal */
  begin(onClose: () => void, ready: Promise<void>): void {
    this.#onClose = onClose
    this.#ready = ready
    ready.catch((fault: unknown) => this.#end(asError(fault))) // who does not wait for `ready` hears by the stream
  }

  readonly #thrown = (thrown: unknown): void => {
    if (this.listenerCount('error') === 0) uncaught(thrown)
    else isolated(() => this.emit('error', thrown))
  }

  #end(fault?: DmThinError): void {
    if (this.#closed) return
    this.#closed = true
    this.#onClose()
    this.#queue.end(fault)
    if (fault) this.emit('fault', fault)
    this.emit('close')
  }
}

/** Runs `act` when `signal` is aborted; gives what takes that back. */
function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  signal?.addEventListener('abort', act, { once: true })
  return () => signal?.removeEventListener('abort', act)
}

/** A watch of mapped devices, which `watchDevices` returns. */
export type DeviceWatch = Watch<DeviceEvent>

/**
 * Watches mapped devices: made, renamed, removed, and what their targets raise, from when `ready` resolves. Nothing is
 * told twice. Between two reads events of one device are merged, and `count` adds up; with 10 000 unread, all are
 * dropped for one `overflow`: list again.
 *
 * No device has a thread or is asked for its status: the kernel's one poll descriptor says that something is new, and
 * the list with its event numbers says what. Needs interface 4.37. `DM_UNAVAILABLE`, `DM_PERMISSION`.
 */
export function watchDevices(options: DeviceWatchOptions = {}): DeviceWatch {
  checkOptions(options, ['namePrefix', 'uuidPrefix', 'kernel', 'signal'], 'watchDevices')
  const namePrefix = options.namePrefix === undefined ? '' : checkText('namePrefix', options.namePrefix)
  const uuidPrefix = options.uuidPrefix === undefined ? '' : checkText('uuidPrefix', options.uuidPrefix)
  const isWanted = ({ name, uuid, previousName = name }: DeviceEvent) =>
    (name.startsWith(namePrefix) || previousName.startsWith(namePrefix)) && uuid.startsWith(uuidPrefix)
  return startWatch(portOf(options.kernel), new Watch(MERGING), options.signal, (watch, changes) => {
    for (const change of changes) if (isWanted(change)) watch.tell(change)
  })
}

/** Joins the hub for as long as the watch is open. `first` is done before it is `ready`. */
export function startWatch<T>(
  port: KernelPort,
  watch: Watch<T>,
  signal: AbortSignal | undefined,
  onChanges: (watch: Watch<T>, changes: readonly DeviceEvent[]) => void,
  first: () => Promise<void> = () => Promise.resolve(),
): Watch<T> {
  const hub = eventHub(port)
  const listener: Listener = {
    onChanges: changes => onChanges(watch, changes),
    onFault: fault => watch.fail(fault),
  }
  const forget = onAbort(signal, () => watch.close())
  const leave = () => {
    forget()
    hub.leave(listener)
  }
  watch.begin(leave, hub.join(listener).then(first))
  if (signal?.aborted) watch.close()
  return watch
}

/** Two events of one device are one with the counts added; what came and went stays apart. */
const MERGING: Merging<DeviceEvent> = {
  subjectOf: event => event.device,
  merge: (earlier, later) =>
    earlier.type === 'event' && later.type === 'event'
      ? { ...later, count: (earlier.count ?? 0) + (later.count ?? 0) }
      : undefined,
}
