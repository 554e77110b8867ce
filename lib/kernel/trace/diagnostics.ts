// Diagnostics of kernel calls: node:diagnostics_channel, and a trace as dmsetup commands.
import { tracingChannel } from 'node:diagnostics_channel'
import { DmThinError } from '../../base/errors.js'
import { toDmsetupCommand } from './dmsetup-command.js'
import { masked, maskError, secretsIn } from './secrets.js'

/** The message to subscribers of `tracing:dm-thin:call:…`; one object from the start of a call to its end. */
export interface CallMessage {
  /** The name of the call: `tableLoad`, `activate`, `snapshot`, `loopAttach` … */
  readonly call: string
  /**
   * The arguments, as native code receives them. Keys of crypt and integrity are masked, also in results and errors.
   * The parameters of tables with secure data are omitted.
   */
  readonly args: readonly unknown[]
  /** The start time, by `performance.now()`. */
  readonly started: number
  /** At the end: the duration in milliseconds. */
  durationMs?: number
  /** At the end: 0, or the errno with which the kernel rejected the call; -1 if it failed without one. */
  errno?: number
  /** At the end of a call that succeeded: its result, as native code returned it. */
  result?: unknown
  /** At the end of a call that failed: the error, usually a `DmThinError`. */
  error?: unknown
}

/** The channels `tracing:dm-thin:call:start`, `:asyncEnd` and `:error`. Without subscribers nothing is done. */
const channel = tracingChannel<CallMessage, CallMessage>('dm-thin:call')

let tracing = isTraced()

function isTraced(): boolean {
  return (process.env['DEBUG'] ?? '')
    .split(/[\s,]+/)
    .some(word => word === 'dm-thin' || word === 'dm-thin:*' || word === '*')
}

/** Turns the trace on standard error on or off, which the environment's `DEBUG=dm-thin` turns on at the start. */
export function trace(on: boolean): void {
  tracing = on
}

const hasSubscribers = (): boolean =>
  channel.start.hasSubscribers || channel.asyncEnd.hasSubscribers || channel.error.hasSubscribers

/** Runs a call and publishes it, if there is a subscriber. */
export function traced<T>(call: string, args: readonly unknown[], run: () => Promise<T>): Promise<T> {
  if (!tracing && !hasSubscribers()) return run()
  return publish(call, args, run)
}

async function publish<T>(call: string, args: readonly unknown[], run: () => Promise<T>): Promise<T> {
  const secrets = secretsIn(args)
  const shown = masked(withoutSecureData(call, args), secrets)
  const message: CallMessage = { call, args: shown, started: performance.now() }
  channel.start.publish(message)
  try {
    const result = await run()
    message.result = masked(result, secretsIn(result))
    message.errno = 0
    return result
  } catch (error) {
    message.error = error instanceof DmThinError ? maskError(error, secrets) : error
    message.errno = error instanceof DmThinError ? (error.errno ?? -1) : -1
    channel.error.publish(message)
    throw error
  } finally {
    message.durationMs = performance.now() - message.started
    channel.asyncEnd.publish(message)
    if (tracing) print(message)
  }
}

const SECURE_DATA = 0x8000

/** Omits the arguments that the caller marked as secret. */
function withoutSecureData(call: string, args: readonly unknown[]): readonly unknown[] {
  const flags = args[call === 'tableLoad' ? 2 : 3]
  const secret = (call === 'tableLoad' || call === 'targetMessage') && typeof flags === 'number' && flags & SECURE_DATA
  if (!secret) return args
  if (call === 'targetMessage') return [args[0], args[1], '…', args[3]]
  const table = (args[1] as readonly object[]).map(line => ({ ...line, parameters: '…' }))
  return [args[0], table, ...args.slice(2)]
}

function print({ call, args, durationMs = 0, errno = 0, error }: CallMessage): void {
  const outcome = errno === 0 ? 'ok' : error instanceof DmThinError ? `${error.code} (errno ${errno})` : 'failed'
  const words = toDmsetupCommand(call, args) ?? call
  process.stderr.write(`dm-thin ${durationMs.toFixed(1).padStart(7)} ms  ${words}  ${outcome}\n`)
}
