// "Busy" says by whom.
import { DmThinError, type Holder } from '../base/errors.js'
import { verbOf } from '../kernel/errors/verbs.js'
import type { MountPort } from '../kernel/port/mount-port.js'

const shown = (holder: Holder): string => {
  if (holder.kind === 'mount') return `the mount ${holder.path} of process ${holder.pid}`
  if (holder.kind === 'process') return `process ${holder.pid} (${holder.path})`
  return `the device ${holder.path}`
}

export interface Held {
  /** The device's number; 0 where it is not known. */
  readonly device: number
  readonly name: string
  /** When the first try began, by `performance.now()`. */
  readonly started: number
}

/** Runs `body`, which waits for `name` to be let go. A DM_BUSY of it says by whom it is held: see `withHolders`. */
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

/** A DM_BUSY gets the device's name, how long it was tried, and the holders, looked up once, after the last try. */
export async function withHolders(port: MountPort, { device, name, started }: Held, fault: unknown): Promise<unknown> {
  if (!(fault instanceof DmThinError) || fault.code !== 'DM_BUSY') return fault
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const tries = fault.tries === 1 ? 'one try' : `${fault.tries ?? 1} tries in ${seconds} s`
  const holders = device === 0 ? [] : await port.holders(device).catch(() => [])
  return withHolderText(fault, name, tries, holders)
}

/** The fault, with who holds what it was about. */
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
