// Replacement of the table of a running pool: one load, made live by one resume.
import { DmThinError } from '../../base/errors.js'
import { sectors } from '../../base/units.js'
import { DEVICE_FLAG } from '../../kernel/port/device-port.js'
import { poolTableLine, type PoolTable } from '../../target/thin-pool.js'
import { poolStatusLine, type PoolAddress, type PoolResumes } from '../state/context.js'

/** A pool whose table can be replaced. */
export type ReloadedPool = PoolAddress & { readonly dataBlockBytes: number; readonly resumes?: PoolResumes }

/**
 * Makes `after` the live table. If the resume fails, or `check` rejects, loads `before` again, with the length that the
 * pool then has.
 */
export async function reload(
  pool: ReloadedPool,
  before: PoolTable,
  after: PoolTable,
  signal?: AbortSignal,
  check: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const { port, address } = pool
  const resume = async () => {
    const resumed = port.resume(address)
    await (pool.resumes?.watch?.(resumed) ?? resumed)
  }
  const putBack = async (fault: unknown) => {
    await port.tableLoad(address, [poolTableLine({ ...before, lengthSectors: await lengthNow(pool, before) })], 0)
    await resume()
    throw fault
  }
  await port.tableLoad(address, [poolTableLine(after)], 0, signal)
  // The table is loaded but not live. The resume is not aborted, because it makes the pool usable again.
  await resume().then(check).catch(putBack)
}

/** Rejects with `DM_POOL_SUSPENDED`: a reload would resume a pool that another program suspended. */
export async function refuseSuspended({ port, name, address }: PoolAddress, signal?: AbortSignal): Promise<void> {
  const { flags } = await port.deviceStatus(address, signal)
  if ((flags & DEVICE_FLAG.suspended) === 0) return
  const text = `pool ${name} is suspended; resume it with \`dmsetup resume ${name}\` first`
  throw new DmThinError('DM_POOL_SUSPENDED', text, { device: name })
}

/** Returns the pool's length as the kernel has it. The kernel resumes no shorter table. */
async function lengthNow(pool: ReloadedPool, table: PoolTable): Promise<PoolTable['lengthSectors']> {
  const status = await poolStatusLine(pool)
  if (!('totalDataBlocks' in status)) return table.lengthSectors
  const whole = sectors(status.totalDataBlocks * pool.dataBlockBytes)
  return whole > table.lengthSectors ? whole : table.lengthSectors
}
