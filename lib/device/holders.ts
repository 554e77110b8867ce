// "Busy" says by whom.
import { DmThinError, type Holder } from '../errors.js'
import type { KernelPort } from '../kernel/port.js'

const shown = (holder: Holder): string => {
  if (holder.kind === 'mount') return `the mount ${holder.path} of process ${holder.pid}`
  if (holder.kind === 'process') return `process ${holder.pid} (${holder.path})`
  return `the device ${holder.path}`
}

/** Runs `body`; a DM_BUSY of it gets the holders of `device`, looked up once, after the last try. */
export async function describeHolders<T>(port: KernelPort, device: number, body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (fault) {
    if (!(fault instanceof DmThinError) || fault.code !== 'DM_BUSY' || device === 0) throw fault
    const holders = await port.holders(device).catch(() => [])
    const by = holders.length === 0 ? '' : `; held by ${holders.slice(0, 3).map(shown).join(', ')}`
    throw fault.refined('DM_BUSY', fault.message + by, { holders })
  }
}
