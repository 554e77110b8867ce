// The initial state of a pool object: of a pool that was just created, or of one that was found.
import { Rollback } from '../../base/rollback.js'
import { throwIfAborted } from '../../base/errors.js'
import { portOf } from '../../kernel/native-port.js'
import type { DeviceInfo } from '../../kernel/port/device-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import { checkBoolean } from '../../base/options.js'
import { addressOf, tableOfPool, type PoolContext } from '../state/context.js'
import { recordStart, takeCleanStop } from '../state/clean-stop.js'
import { contextOf } from './new-context.js'
import { withPoolLock } from '../state/locks.js'
import { conditionOf, repairPool, type Finding } from './crash-recovery.js'
import { findPool } from './open.js'
import {
  checkCreateOptions,
  checkOpenOptions,
  checkRecord,
  withRecorded,
  type CreatePoolOptions,
  type OpenPoolOptions,
} from './pool-options.js'
import { checkDurability } from '../state/durability.js'
import { checkedRecord, newRecord } from './record-check.js'
import { checkReserve } from '../state/space-reserve.js'
import { readRecord } from '../state/record.js'
import { createPool } from './create.js'

export interface TakenUp {
  readonly context: PoolContext
  readonly findings: readonly Finding[]
}

export async function makePool(options: CreatePoolOptions): Promise<TakenUp> {
  const plan = checkCreateOptions(options)
  const { signal, format = 'blank' } = options
  throwIfAborted(signal)
  const port = portOf(options.kernel)
  const rollback = new Rollback()
  return withPoolLock(port, plan.name, signal, lock =>
    rollback.guard(async () => {
      const made = await createPool(port, plan, format, lock, rollback, signal)
      throwIfAborted(signal)
      const record =
        plan.record === undefined ? undefined : await newRecord(askable(port, plan.name, made), plan.record)
      if (record) rollback.push('unlink', record.file, () => port.deleteFile(record.file))
      return { context: linked(await contextOf(port, plan.name, made, plan, record)), findings: [] }
    }),
  )
}

export async function takeUpPool(options: OpenPoolOptions): Promise<TakenUp> {
  const plan = checkOpenOptions(options)
  const file = checkRecord(options.record)
  const repair = options.repair === undefined || checkBoolean('repair', options.repair)
  const handle = {
    mapperLinks: checkBoolean('mapperLinks', options.mapperLinks),
    durability: checkDurability(options.durability),
    reserve: checkReserve(options.reserve),
  }
  const { name, signal } = options
  throwIfAborted(signal)
  const port = portOf(options.kernel)
  const rollback = new Rollback()
  return withPoolLock(port, name, signal, lock =>
    rollback.guard(async () => {
      const found = file === undefined ? 'missing' : await readRecord(port, file)
      const recorded = plan && typeof found === 'object' ? withRecorded(plan, found.options) : plan
      let before: readonly string[] = []
      const beforeStart = async (metadataPath: string) => {
        if (file !== undefined) before = await takeCleanStop(port, file, metadataPath, signal)
      }
      const inventory = await findPool(port, name, recorded, lock, rollback, beforeStart, signal)
      const running = inventory.pool
      const pool = askable(port, name, running)
      const repaired = repair ? await repairPool(port, inventory, lock) : []
      const isChanged = repaired.some(({ action }) => action !== 'none')
      const now = isChanged ? await port.inventory(pool.address, signal) : inventory
      const condition = conditionOf(now)
      const table = tableOfPool(name, now.table)
      const checked = file === undefined ? undefined : await checkedRecord(pool, running, table, file, signal)
      if (checked) await recordStart(checked.record, before, running.uuid)
      const context = await contextOf(port, name, running, handle, checked?.record, signal, table)
      return { context: linked(context), findings: [...repaired, ...condition, ...(checked?.findings ?? [])] }
    }),
  )
}

const askable = (port: KernelPort, name: string, { device, uuid }: DeviceInfo) => ({
  port,
  name,
  address: addressOf({ name, device, uuid }),
})

function linked(context: PoolContext): PoolContext {
  if (context.mapperLinks) context.port.mapperLinks.make(context.name, context.device)
  return context
}
