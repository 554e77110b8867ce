// The holders of a device in `DM_BUSY` errors.
import { DmThinError, type Holder } from '../base/errors.js'
import { verbOf } from '../kernel/errors/translate.js'
import type { MountPort } from '../kernel/port/mount-port.js'

const shown = (holder: Holder): string => {
  if (holder.kind === 'mount') return `the mount ${holder.path} of process ${holder.pid}`
  if (holder.kind === 'process') return `process ${holder.pid} (${holder.path})`
  return `the device ${holder.path}`
}

export interface Held {
  /** The device number; 0 if it is unknown. */
  readonly device: number
  readonly name: string
  /** The time of the first attempt, by `performance.now()`. */
  readonly started: number
}

/** Runs `body`, which waits until `name` is no longer in use. Adds the holders to its `DM_BUSY`: see `withHolders`. */
export async function describeHolders<T>(
  port: MountPort,
  device: number,
  name: string,
  body: () => Promise<T>,
): Promise<T> {
  const started = performance.now()
  try {
    return await body()
  } catch (fault) {
    throw await withHolders(port, { device, name, started }, fault)
  }
}

/**
 * Adds to a `DM_BUSY` the device's name, the time since the first attempt, and the holders, which are looked up once,
 * after the last attempt.
 */
export async function withHolders(port: MountPort, { device, name, started }: Held, fault: unknown): Promise<unknown> {
  if (!(fault instanceof DmThinError) || fault.code !== 'DM_BUSY') return fault
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const tries = fault.tries === 1 ? 'one try' : `${fault.tries ?? 1} tries in ${seconds} s`
  const holders = device === 0 ? [] : await port.holders(device).catch(() => [])
  return withHolderText(fault, name, tries, holders)
}

/** Returns the error with its holders in the message. */
export function withHolderText(
  fault: DmThinError,
  name: string,
  tries: string,
  holders: readonly Holder[],
): DmThinError {
  const by = holders.length === 0 ? '' : `; held by ${holders.slice(0, 3).map(shown).join(', ')}`
  const verb = verbOf(fault.operation) ?? 'remove'
  const text = `${verb} ${JSON.stringify(name)}: device is busy after ${tries}${by}`
  return fault.refined('DM_BUSY', text, { holders, device: name })
}
