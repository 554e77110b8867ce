// Creation of the state that a pool and its volumes share.
import { deviceNumber } from '../../base/device-number.js'
import { Pending } from '../../base/pending.js'
import { sectorsToBytes } from '../../base/units.js'
import { nodePath } from '../../block/node-path.js'
import type { DeviceInfo } from '../../kernel/port/device-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import type { PoolTable } from '../../target/thin-pool.js'
import { addressOf, poolStatusLine, poolTable, type PoolContext } from '../state/context.js'
import { thinIds } from '../metadata-read/live-volumes.js'
import type { PoolRecord } from '../state/record.js'
import { Reserve, type ReserveOptions } from '../state/space-reserve.js'
import { readSnapshotTime, SnapshotClock } from '../state/snapshot-clock.js'
import { ThinIds } from '../state/thin-ids.js'

/** Options of the object, not of the pool. */
export interface HandleOptions extends Pick<PoolContext, 'mapperLinks' | 'durability'> {
  readonly reserve: Required<ReserveOptions>
}

/** The options of a call that has no pool object. */
export const PLAIN_HANDLE: HandleOptions = {
  mapperLinks: false,
  durability: 'committed',
  reserve: { dataBytes: 0, metadataBytes: 0 },
}

/** Makes the state of a pool that runs. `known`: its table, if it was just read. */
export async function contextOf(
  port: KernelPort,
  name: string,
  { device, uuid }: Pick<DeviceInfo, 'device' | 'uuid'>,
  { mapperLinks, durability, reserve }: HandleOptions,
  record: PoolRecord | undefined,
  signal?: AbortSignal,
  known?: PoolTable,
): Promise<PoolContext> {
  const address = addressOf({ name, uuid, device })
  const pool = { port, name, address }
  const table = known ?? (await poolTable(pool, signal))
  const metadataPath = nodePath(table.metadataDevice)
  const dataBlockBytes = sectorsToBytes(table.blockSectors)
  return {
    ...pool,
    device,
    number: deviceNumber(device),
    uuid,
    dataBlockBytes,
    mapperLinks,
    durability,
    record,
    metadataDevice: table.metadataDevice,
    metadataPath,
    pending: new Pending(`pool ${name}`),
    ids: new ThinIds(() => thinIds({ ...pool, device, uuid })),
    clock: new SnapshotClock(() => readSnapshotTime(port, metadataPath)),
    reserve: new Reserve(name, reserve, dataBlockBytes, () => poolStatusLine(pool)),
    counts: { waits: 0, growths: 0 },
    resumes: { watch: undefined },
  }
}
