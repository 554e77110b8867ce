// The pool of a store: it is opened, or created if it does not exist, and rejected if it cannot be that of the records.
import { signalOption } from '../../base/options.js'
import { undefinedIf, DmThinError, hasCode } from '../../base/errors.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { nativePort } from '../../kernel/native-port.js'
import type { DeviceSource } from '../../pool/lifecycle/pool-options.js'
import { ThinPool } from '../../pool/thin-pool.js'
import type { PoolPlace, StorePlan } from '../common/store-options.js'
import type { Records } from '../records/records.js'

const TRIES = 100
const PAUSE_MS = 100

/** Opens the pool, or creates it if it does not exist. If another process creates it first, opens that pool. */
export async function openPool(
  place: PoolPlace,
  records: Records,
  { check, signal }: Pick<StorePlan, 'check' | 'signal'>,
): Promise<ThinPool> {
  const abort = signalOption(signal)
  // If the pool is full, writers in containers fail immediately instead of waiting for a minute.
  const options = { ...place, errorIfNoSpace: true, ...abort }
  const found = {
    ...options,
    data: withoutSize(place.data),
    metadata: withoutSize(place.metadata),
    ...(check !== undefined && { check }),
  }
  for (let tries = 1; ; tries += 1) {
    try {
      return await ThinPool.open(found)
    } catch (fault) {
      if (!hasCode(fault, 'DM_FILE_MISSING', 'DM_METADATA_BLANK', 'DM_NOT_FOUND', 'DM_BUSY')) throw fault
      if (!hasCode(fault, 'DM_BUSY')) refuseLoss(records, place, fault)
      else if (tries >= TRIES) throw fault
    }
    try {
      return await ThinPool.create(options)
    } catch (fault) {
      const first = hasCode(fault, 'DM_NAME_TAKEN', 'DM_BUSY', 'DM_FILE_ATTACHED', 'DM_METADATA_NOT_BLANK')
      if (!first || tries >= TRIES) throw fault
      await sleep(PAUSE_MS)
    }
  }
}

/** Removes the size from a source: an existing file may have been grown. */
const withoutSize = (source: DeviceSource): DeviceSource => (source.file === undefined ? source : { file: source.file })

/** Throws if layers are recorded but their pool does not exist: creating a pool would make the loss final. */
function refuseLoss(records: Records, place: PoolPlace, cause: unknown): void {
  if (records.thinIds().length === 0) return
  const where = place.data.file ?? (place.data as { device: string }).device
  const text = `layers are recorded, but their pool is not on ${where}: ${(cause as Error).message}`
  throw new DmThinError('DM_STORE_MISMATCH', text, { device: place.name, cause })
}

/**
 * Rejects with `DM_STORE_MISMATCH` if the pool is not empty and has no records: it belongs to another program, or to a
 * store whose records are lost. Reads the records last, because another process that opens the same new store may have
 * confirmed the pool concurrently.
 */
export async function refuseForeign(
  pool: ThinPool,
  transactionId: bigint,
  records: Records,
  wasUp: boolean,
): Promise<void> {
  const volumes = await pool.volumes()
  if (volumes.length === 0 && transactionId === 0n) return
  if (records.get('made') !== undefined) return
  if (!wasUp) await pool.remove() // started by this call
  const what = `${volumes.length} volumes and transaction id ${transactionId}`
  const text = `pool ${pool.name} has ${what}, and no records: pass pool.adopt to accept it as it is`
  throw new DmThinError('DM_STORE_MISMATCH', text, { device: pool.name })
}

export async function isUp(name: string): Promise<boolean> {
  return (await nativePort().deviceStatus({ name }).catch(undefinedIf('DM_NOT_FOUND'))) !== undefined
}
