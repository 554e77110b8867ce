// The compound calls, with the steps of native/dm/activate.cc, snapshot.cc, move_to_snapshot.cc and active_thins.cc.
import { deviceNumber } from '../base/device-number.js'
import { ERRNO, type RollbackStep } from '../base/errors.js'
import type { NativeOperation } from '../kernel/errors/native-operation.js'
import { DEVICE_FLAG, TABLE_FLAG, type DeviceAddress, type DeviceInfo } from '../kernel/port/device-port.js'
import type {
  ActivateRequest,
  ActivationGuard,
  ActiveThin,
  KnownPool,
  MoveRequest,
  ReserveRequest,
  SnapshotOutcome,
  SnapshotRequest,
} from '../kernel/port/pool-port.js'
import { parsePoolStatus } from '../target/thin-pool.js'
import { committedMessage, verifyCommit } from './commit.js'
import { isSuspended, type Mapper } from './mapper.js'
import { Refusal } from './refusal.js'

const LOAD_READ_ONLY = 1
/** The number of attempts of a rollback step, and of the resume after a snapshot. */
const TRIES = 20

export function activeThins(mapper: Mapper, pool: number): ActiveThin[] {
  return mapper.thinsOn(pool).map(({ device, id }) => ({
    name: device.name,
    uuid: device.uuid,
    device: device.number,
    id,
  }))
}

export function foreignThins(mapper: Mapper, pool: number, ownPrefix: string): ActiveThin[] {
  if (ownPrefix === '') return []
  mapper.list({})
  if (!mapper.find({ device: pool })) throw new Refusal('DM_LIST_DEVICES', ERRNO.ENXIO, { device: deviceNumber(pool) })
  return activeThins(mapper, pool).filter(thin => !thin.uuid.startsWith(ownPrefix))
}

/** Returns the state of a pool's device. Throws if the number now belongs to another device. */
export function poolDevice(mapper: Mapper, pool: KnownPool): DeviceInfo {
  const info = mapper.status({ device: pool.device })
  refuseOtherPool('DM_DEV_STATUS', info, pool)
  return info
}

function refuseOtherPool(operation: NativeOperation, found: DeviceInfo | undefined, { name, uuid }: KnownPool): void {
  if (!found) throw new Refusal(operation, ERRNO.ENXIO, { device: name })
  if (uuid === '' ? found.name === name : found.uuid === uuid) return
  throw new Refusal(operation, ERRNO.ENXIO, { device: name, detail: `is now ${found.name}` })
}

/** Throws if a device of another program has the volume active. */
export function admit(mapper: Mapper, guard: ActivationGuard | undefined, { name, thinId }: ActivateRequest): void {
  if (!guard || guard.pool.device === 0) return
  const { pool, ownPrefix } = guard
  if (ownPrefix === '') {
    poolDevice(mapper, pool)
    return
  }
  mapper.list({})
  refuseOtherPool('DM_LIST_DEVICES', mapper.find({ device: pool.device })?.info(), pool)
  const active = activeThins(mapper, pool.device)
  const other = active.find(({ uuid, id }) => !uuid.startsWith(ownPrefix) && id === (thinId ?? 0))
  if (other) throw new Refusal('double activation', ERRNO.EBUSY, { device: name, detail: other.name })
}

export function activate(mapper: Mapper, request: ActivateRequest): DeviceInfo {
  const { name, uuid, table } = request
  try {
    mapper.create(name, uuid)
  } catch (fault) {
    throw fault instanceof Refusal ? fault.with({ detail: uuid }) : fault
  }
  try {
    mapper.load({ name }, table, request.readOnly ? LOAD_READ_ONLY : 0)
    return mapper.resume({ name })
  } catch (fault) {
    if (!(fault instanceof Refusal)) throw fault
    const first = table[0]
    const detail = first ? `${first.type} ${first.parameters}` : ''
    throw fault.with({ detail, rollback: [undone('DM_DEV_REMOVE', name, () => mapper.remove({ name }))] })
  }
}

function undone(operation: string, device: string, run: () => unknown): RollbackStep {
  return { operation, device, errno: withRetries(run, errno => errno === ERRNO.EBUSY)?.failure.errno ?? 0 }
}

/** Runs `run`, and retries if `worth` accepts the errno. Returns the last refusal. */
function withRetries(run: () => unknown, worth: (errno: number) => boolean): Refusal | undefined {
  let last: Refusal | undefined
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      run()
      return undefined
    } catch (fault) {
      if (!(fault instanceof Refusal)) throw fault
      last = fault
      if (!worth(fault.failure.errno)) break
    }
  }
  return last
}

function refusalOf(run: () => unknown): Refusal | undefined {
  try {
    run()
    return undefined
  } catch (fault) {
    if (fault instanceof Refusal) return fault
    throw fault
  }
}

const addressOf = ({ device, name, uuid }: KnownPool): DeviceAddress =>
  uuid === '' ? { device, label: name } : { uuid, label: name }

export function snapshot(mapper: Mapper, request: SnapshotRequest): SnapshotOutcome {
  const { name } = request.pool
  const pool = addressOf(request.pool)
  const sendAll = () =>
    request.ids.map(id => {
      const text = `create_snap ${id} ${request.originId}`
      const refused = refusalOf(() =>
        request.committed ? committedMessage(mapper, pool, 0, text) : mapper.message(pool, 0, text),
      )
      return { id, errno: refused?.failure.errno ?? 0, operation: refused?.failure.operation ?? '' }
    })
  const info = poolDevice(mapper, request.pool)
  if (request.reserve) refuseReserve(mapper, request.pool, request.reserve)
  const origin = request.unwritten || info.openCount === 0 ? undefined : findOrigin(mapper, request)
  if (!origin || origin.suspended) return { items: sendAll(), suspended: false }
  refuseSuspended(info)
  mapper.suspend(origin.address)
  const items = sendAll()
  const refused = withRetries(
    () => mapper.resume(origin.address),
    errno => errno !== ERRNO.ENXIO,
  )
  if (refused) {
    const made = items.filter(item => item.errno === 0).reverse()
    const rollback = made.map(({ id }) => undone(`delete ${id}`, name, () => mapper.message(pool, 0, `delete ${id}`)))
    throw refused.with({ rollback })
  }
  return { items, suspended: true }
}

function refuseReserve(mapper: Mapper, pool: KnownPool, { percent, dataBlocks, metadataBlocks }: ReserveRequest): void {
  const [line] = mapper.tableStatus(addressOf(pool), TABLE_FLAG.noflush)
  const status = parsePoolStatus(line?.parameters ?? '')
  if (!('totalDataBlocks' in status)) return // the message reports that the pool has failed
  const isLeft = (used: number, total: number, limit: number) =>
    total - used >= Math.min((total * percent) / 100, limit)
  const { usedDataBlocks, totalDataBlocks, usedMetadataBlocks, totalMetadataBlocks } = status
  if (
    !isLeft(usedMetadataBlocks, totalMetadataBlocks, metadataBlocks) ||
    !isLeft(usedDataBlocks, totalDataBlocks, dataBlocks)
  )
    throw new Refusal('reserve', ERRNO.ENOSPC, { device: pool.name })
}

function refuseSuspended(pool: DeviceInfo): void {
  if (!isSuspended(pool)) return
  throw new Refusal('DM_DEV_SUSPEND', ERRNO.EAGAIN, { device: pool.name, detail: 'the pool is suspended' })
}

export function moveToSnapshot(mapper: Mapper, request: MoveRequest): void {
  const { device, id, originId, table } = request
  const pool = addressOf(request.pool)
  refuseSuspended(poolDevice(mapper, request.pool))
  const info = mapper.status(device)
  if (isSuspended(info)) {
    throw new Refusal('DM_DEV_SUSPEND', ERRNO.EBUSY, { device: info.name, detail: 'the volume is suspended' })
  }
  mapper.suspend(device)
  const text = `create_snap ${id} ${originId}`
  const created = refusalOf(() => mapper.message(pool, 0, text))
  const loaded = created ?? refusalOf(() => mapper.load(device, table, 0))
  const resumed = withRetries(
    () => mapper.resume(device),
    errno => errno !== ERRNO.ENXIO,
  )
  const rollback: RollbackStep[] = []
  if (!loaded && resumed) rollback.push(undone('DM_TABLE_CLEAR', info.name, () => mapper.clear(device)))
  if (!created && (loaded ?? resumed)) {
    rollback.push(undone(`delete ${id}`, request.pool.name, () => mapper.message(pool, 0, `delete ${id}`)))
  }
  const refused = loaded ?? resumed
  if (refused) throw refused.with({ rollback })
  verifyCommit(mapper, pool, text)
}

function findOrigin(
  mapper: Mapper,
  request: SnapshotRequest,
): { readonly address: DeviceAddress; readonly suspended: boolean } | undefined {
  const own = mapper.find({ uuid: request.originUuid })
  const other = mapper.thinsOn(request.pool.device).find(thin => thin.id === request.originId)?.device
  const device = own ?? other
  if (!device) return undefined
  const address = device.uuid === '' ? { device: device.number } : { uuid: device.uuid }
  return { address, suspended: (device.info().flags & DEVICE_FLAG.suspended) !== 0 }
}
