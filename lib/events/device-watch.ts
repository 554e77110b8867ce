// Events of mapped devices: one descriptor and one waiting thread for all watches.
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

/**
 * Runs a listener. An exception of one listener becomes an uncaught error, as with any emitter, and does not end the
 * watches of others.
 */
export function isolated(tell: () => void, onThrown: (thrown: unknown) => void = uncaught): void {
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

/** The single loop: poll, arm, list. It reports the differences from the last list. */
class EventHub {
  readonly #port: KernelPort
  readonly #listeners = new Set<Listener>()
  #joining: Joining[] = []
  #poll: AbortController | undefined
  #running = false

  constructor(port: KernelPort) {
    this.#port = port
  }

  /** Adds a listener. Resolves when the listener receives every later event. */
  join(listener: Listener): Promise<void> {
    const joined = new Promise<void>((resolve, reject) => this.#joining.push({ listener, resolve, reject }))
    this.#poll?.abort() // a new listener begins with a new list
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
      if (signal.aborted) return undefined // a listener joined, or the last one left
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
  /** Reports only devices whose name begins with this. Default: all. */
  readonly namePrefix?: string
  /** Reports only devices whose uuid begins with this. Default: all. */
  readonly uuidPrefix?: string
  /** Ends the watch: the iterator ends, and no more events are emitted. */
  readonly signal?: AbortSignal
}

interface WatchEvents<T> {
  change: [T]
  /** The error that ended the watch; no more events follow. */
  fault: [DmThinError]
  close: []
  /**
   * The exception of a listener of `change`. Without a listener of `error` it is an uncaught error. The watch
   * continues.
   */
  error: [unknown]
}

/**
 * An EventEmitter (`change`, `fault`, `close`, `error`) and an async iterator over one stream. It keeps the process
 * alive.
 */
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

  /** A promise that resolves when the watch reports every later event, and rejects if watching is not possible. */
  get ready(): Promise<void> {
    return this.#ready
  }

  /** True if the watch has ended. */
  get closed(): boolean {
    return this.#closed
  }

  /** Ends the watch. Idempotent. Unread events can still be read. */
  close(): void {
    this.#end()
  }

  /**
   * Returns the iterator, of which there is one. It also delivers events from before the first call, since the watch
   * was made. It throws the error that ends the watch.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<T | Overflow> {
    this.#read = true
    return this.#queue
  }

  /** Calls `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** @internal */
  tell(event: T): void {
    if (this.#closed) return
    isolated(() => this.emit('change', event), this.#thrown)
    // A caller that only listens to `change` and never iterates must not fill a queue.
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
    ready.catch((fault: unknown) => this.#end(asError(fault))) // if `ready` is not awaited, the stream reports the error
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

/** Runs `act` when `signal` is aborted. Returns the function that removes this listener. */
function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  signal?.addEventListener('abort', act, { once: true })
  return () => signal?.removeEventListener('abort', act)
}

/** A watch of mapped devices, which `watchDevices` returns. */
export type DeviceWatch = Watch<DeviceEvent>

/**
 * Watches mapped devices: added, renamed and removed devices, and events of their targets, from the time at which
 * `ready` resolves. Each change is reported once. Between two reads, events of one device are merged, and `count` is
 * their sum. If 10 000 events are unread, all are dropped for one `overflow`: list the devices again.
 *
 * No device needs a thread or a status query: the kernel's single poll descriptor reports a change, and the list with
 * its event numbers shows which. Needs interface 4.37. Rejects with `DM_UNAVAILABLE`, `DM_PERMISSION`.
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

/** Starts a watch, which belongs to the hub while it is open. `first` runs before it is `ready`. */
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

/** Two events of one device merge into one with the sum of their counts; added and removed devices stay separate. */
const MERGING: Merging<DeviceEvent> = {
  subjectOf: event => event.device,
  merge: (earlier, later) =>
    earlier.type === 'event' && later.type === 'event'
      ? { ...later, count: (earlier.count ?? 0) + (later.count ?? 0) }
      : undefined,
}
