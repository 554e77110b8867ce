// The inventory of a pool, with the steps of native/dm/active_thins.cc, and the numbers of a volume's status.
import { TABLE_FLAG, type DeviceAddress, type TargetLine } from '../kernel/port/device-port.js'
import { THIN_STATE, type Inventory, type ListedThin } from '../kernel/port/pool-port.js'
import { deviceNumber } from '../base/device-number.js'
import type { MappedDevice } from './mapped-device.js'
import type { Mapper } from './mapper.js'

const TABLE = TABLE_FLAG.table | TABLE_FLAG.noflush
const POOL_UUID = 'DMTHIN-POOL-'
/** Also of the device of a spare, whose uuid has more in front of it. */
const ID_IN_UUID = /-(\d+)$/

const listed = (mapper: Mapper, device: MappedDevice, id: number): ListedThin => {
  const { name, uuid, flags, openCount } = device.info()
  return { name, uuid, device: device.number, id, flags, openCount, line: mapper.linesOf(device, TABLE)[0] }
}

export function inventory(mapper: Mapper, address: DeviceAddress): Inventory {
  const pool = mapper.lookup('DM_TABLE_STATUS', address)
  const table = mapper.tableStatus({ device: pool.number }, TABLE)
  const status = mapper.tableStatus({ device: pool.number }, TABLE_FLAG.noflush)
  if (table.length === 0) return { pool: pool.info(), table, status, thins: [] }
  const isOurs = pool.uuid.startsWith(POOL_UUID)
  const prefix = `DMTHIN-${isOurs ? pool.uuid.slice(POOL_UUID.length) : deviceNumber(pool.number)}-`
  const own = mapper.list({ uuid: prefix }).map(({ device }) => mapper.find({ device })!)
  const halfMade = own.filter(device => !device.live && ID_IN_UUID.test(device.uuid))
  const thins = [
    ...mapper.thinsOn(pool.number).map(({ device, id }) => listed(mapper, device, id)),
    ...halfMade.map(device => listed(mapper, device, Number(ID_IN_UUID.exec(device.uuid)![1]))),
  ]
  return { pool: pool.info(), table, status, thins }
}

/** Returns the numbers of one volume in the result of `statusMany`. */
export function thinNumbers([line]: readonly TargetLine[]): readonly number[] {
  const text = line?.parameters.trim() ?? ''
  const length = line?.lengthSectors ?? 0
  if (text === 'Fail') return [THIN_STATE.fail, length, 0, -1]
  if (text === 'Error') return [THIN_STATE.error, length, 0, -1]
  const [, mapped, highest] = /^(\d+) (\d+|-)$/.exec(text) ?? []
  if (mapped === undefined) return [THIN_STATE.other, length, 0, -1]
  return [THIN_STATE.active, length, Number(mapped), highest === '-' ? -1 : Number(highest)]
}
