// Growth of a volume: its record first, then the table of its device.
import { DmThinError, ERRNO } from '../../base/errors.js'
import { invalid } from '../../base/options.js'
import { Rollback } from '../../base/rollback.js'
import { SECTOR_BYTES, sectors } from '../../base/units.js'
import { DEVICE_FLAG, TABLE_FLAG } from '../../kernel/port/device-port.js'
import { checkUp } from '../state/context.js'
import { explained } from '../state/explain-error.js'
import { withPoolLock } from '../state/locks.js'
import { recordActive } from './recorded.js'
import type { VolumeState } from './volume-state.js'

/**
 * The suspend that makes a table live: writes that wait for space in a full pool are queued again, and the file system is not
 * frozen. Otherwise the call would wait for that space, while its lock keeps the pool from growing.
 */
const WITHOUT_FLUSH = TABLE_FLAG.noflush | TABLE_FLAG.skipLockfs

/**
 * Grows a volume. The exclusive lock of the pool keeps snapshots away, in all processes: the resume would end their suspend
 * of this device. The lock of the thin id keeps removals away, which suspend the device too.
 */
export async function growVolume(state: VolumeState, sizeBytes: number, signal?: AbortSignal): Promise<void> {
  const { pool, id } = state
  await withPoolLock(pool.port, pool.name, signal, async lock => {
    await checkUp(pool, signal)
    const known = state.sizeBytes
    if (known !== undefined && sizeBytes < known) throw shrunk(state, known, sizeBytes)
    if (state.device === undefined) {
      await recordActive(pool, id, state.name, sizeBytes)
      state.sizeBytes = sizeBytes
      return
    }
    await lock.withThin(pool.name, id, () => growDevice(state, sizeBytes, signal))
  })
}

async function growDevice(state: VolumeState, sizeBytes: number, signal?: AbortSignal): Promise<void> {
  const { pool, id, address } = state
  const { port } = pool
  // Another program may remove the device.
  const refuseGone = (fault: unknown) => {
    if (!(fault instanceof DmThinError) || fault.errno !== ERRNO.ENXIO) throw fault
    throw fault.refined('DM_NOT_FOUND', `volume ${id} of pool ${pool.name} was removed during the call`)
  }
  const flags = await state.flagsOfRunning(signal)
  const [line] = await port.tableStatus(address, TABLE_FLAG.table | TABLE_FLAG.noflush, signal)
  const present = line!.lengthSectors * SECTOR_BYTES
  if (sizeBytes < present) throw shrunk(state, present, sizeBytes)
  // A record that is too large is harmless after a crash: the volume has no data there. A file system on a device that is
  // too small would not be mounted.
  await recordActive(pool, id, state.name, sizeBytes)
  if (sizeBytes > present) {
    const readOnly = flags & DEVICE_FLAG.readOnly
    const table = [{ ...line!, lengthSectors: sectors(sizeBytes) }]
    const resume = () => port.resume(address, undefined, WITHOUT_FLUSH)
    const rollback = new Rollback()
    rollback.push('DM_TABLE_CLEAR', state.name, () => port.tableClear(address))
    const replaced = rollback.guard(async () => {
      await port.tableLoad(address, table, readOnly, signal)
      // The device must not stay suspended, even if the old table cannot be loaded again.
      rollback.push('DM_DEV_RESUME', state.name, resume, { always: true })
      rollback.push('DM_TABLE_LOAD', state.name, () => port.tableLoad(address, [line!], readOnly))
      await resume() // not aborted: it makes the table live
    })
    await explained(pool, replaced.catch(refuseGone))
  }
  state.sizeBytes = sizeBytes
}

const shrunk = ({ pool, id }: VolumeState, present: number, wanted: number) =>
  invalid(`volume ${id} of pool ${pool.name} has ${present} bytes and cannot shrink to ${wanted}`)
