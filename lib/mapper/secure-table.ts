// Creation of a mapped device from a table that contains keys. No key is left behind in the kernel or in an error.
import { DmThinError } from '../base/errors.js'
import { LOAD_FLAG, type DeviceInfo, type TargetLine, type DevicePort } from '../kernel/port/device-port.js'
import { maskError, secretsOf } from '../kernel/trace/secrets.js'
import type { Segment } from '../kernel/table.js'
import { Rollback } from '../base/rollback.js'

/** The time limit of the rollback of a failed creation, if another program has opened the device. */
const UNDO_TIMEOUT_MS = 10_000

export interface SecureRequest {
  readonly name: string
  readonly uuid: string
  readonly table: readonly TargetLine[]
  readonly readOnly: boolean
}

/** Creates the device with three native calls: the compound call does not support the flag. */
export async function createSecurely(
  port: DevicePort,
  { name, uuid, table, readOnly }: SecureRequest,
  signal?: AbortSignal,
): Promise<DeviceInfo> {
  const rollback = new Rollback()
  return rollback.guard(async () => {
    await port.create(name, uuid, signal)
    rollback.push('DM_DEV_REMOVE', name, () => port.remove({ name }, UNDO_TIMEOUT_MS))
    await port.tableLoad({ name }, table, LOAD_FLAG.secureData | (readOnly ? LOAD_FLAG.readOnly : 0), signal)
    return port.resume({ name }, signal)
  })
}

/** Removes keys from errors, which contain the rejected table and may be logged. */
export async function withoutSecrets<T>(table: readonly Segment[], call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (fault) {
    throw fault instanceof DmThinError ? maskError(fault, table.flatMap(secretsOf)) : fault
  }
}
