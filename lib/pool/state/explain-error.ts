// Explanation of ambiguous errnos by the state of the pool.
import { DmThinError, ERRNO } from '../../base/errors.js'
import { DEVICE_FLAG } from '../../kernel/port/device-port.js'
import { poolStatusLine, type PoolAddress, type PoolContext } from './context.js'

/**
 * Returns the result of a call. If the call fails with an ambiguous errno, reads the pool's state and rejects with the
 * specific code: suspended, read-only or failed. The extra status call is made only on failure.
 */
export function explained<T>(context: PoolContext, call: Promise<T>): Promise<T> {
  return call.catch(async (fault: unknown) => {
    throw fault instanceof DmThinError ? await explain(context, fault) : fault
  })
}

const WORTH_A_LOOK = new Set(['DM_KERNEL', 'DM_TABLE_REFUSED', 'DM_POOL_READ_ONLY', 'DM_NOT_FOUND'])

export async function explain(pool: PoolAddress, fault: DmThinError): Promise<DmThinError> {
  const { port, name, address } = pool
  if (!WORTH_A_LOOK.has(fault.code)) return fault
  const look = async () => {
    const info = await port.deviceStatus(address)
    if ((info.flags & DEVICE_FLAG.suspended) !== 0) {
      const hint = `resume it with \`dmsetup resume ${name}\``
      return fault.refined('DM_POOL_SUSPENDED', `pool ${name} is suspended; ${hint} (${fault.message})`)
    }
    const status = await poolStatusLine(pool)
    if (status.mode === 'fail' || status.mode === 'error') {
      return fault.refined('DM_POOL_FAILED', `pool ${name} has failed; call pool.repair() (${fault.message})`)
    }
    if (status.mode === 'ro') {
      const why = status.needsCheck
        ? 'its metadata needs a check: call pool.repair(), which runs thin_check'
        : 'it may have no free metadata: call pool.grow({ metadataBytes })'
      return fault.refined('DM_POOL_READ_ONLY', `pool ${name} is read-only: ${why} (${fault.message})`)
    }
    return fault
  }
  return look().catch((second: unknown) => {
    const gone = second instanceof DmThinError && second.errno === ERRNO.ENXIO
    return gone ? fault.refined('DM_NOT_FOUND', `pool ${name} is no longer active (${fault.message})`) : fault
  })
}
