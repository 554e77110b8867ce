// Deletion of the spare volumes of a keeper, when the pool is no longer kept.
import { undefinedIf } from '../../base/errors.js'
import { message } from '../../target/messages.js'
import { addressOf, volumeUuidPrefix, type PoolAddress } from '../state/context.js'
import { spareIds } from '../state/live-metadata.js'
import { forgetMaking, type SparePool } from '../state/spare-volumes.js'

/** Returns the prefix of the uuid of a spare's device, which exists while the spare is made. The rest is the id. */
export const spareUuidPrefix = (pool: Pick<SparePool, 'device' | 'uuid'>): string =>
  `${volumeUuidPrefix({ device: pool.device, uuid: pool.uuid })}spare-`

/** Removes the devices of spares that a killed keeper left. Rejects with `DM_BUSY` if one is still written. */
export async function removeSpareDevices(pool: SparePool, limitMs: number): Promise<void> {
  const { port } = pool
  for (const device of await port.listDevices({ uuid: spareUuidPrefix(pool) })) {
    await port.remove(addressOf(device), limitMs).catch(undefinedIf('DM_NOT_FOUND'))
  }
}

/** Deletes the spares. The caller holds the lock of the pool's keeper, so that no other call makes or deletes one. */
export async function deleteSpares(pool: PoolAddress & SparePool): Promise<void> {
  const { port, address } = pool
  await removeSpareDevices(pool, 1_000)
  const { spares, halfMade } = await spareIds(pool)
  const ids = halfMade === undefined ? spares : [...spares, halfMade]
  for (const id of ids) await port.targetMessage(address, 0, message.delete(id))
  await forgetMaking(pool)
}
