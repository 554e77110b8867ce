// What a process that died in the middle of a compound call leaves behind, and putting it right at the next open.
// The section lock tells the dead from the busy: compound calls hold it shared, and flock ends with its holder.
import { hasCode, type DmThinError } from '../errors.js'
import { DEVICE_FLAG, type KernelPort, type ListedDevice } from '../kernel/port.js'
import { poolStatusLine, volumeUuidPrefix } from './context.js'
import { takeSectionLock } from './section-lock.js'

/** Something that open found amiss, and what it did. */
export interface Finding {
  /**
   * `suspended-volume`: left between suspend and resume; its I/O hung. `half-made-volume`: created, but without a
   * table. `abandoned-table`: a new table was loaded and never made live. `suspended-pool`: not touched, since only a
   * person suspends a pool. `needs-check`: the pool's metadata needs a check, so it takes no change and grows no more; or
   * the pool has failed. `not-checked`: other processes were in the middle of calls for so long that nothing was
   * looked at. Of the record: `record-missing` and `record-damaged`, its names and sizes are unknown again;
   * `record-differs`, an option or the length of the pool is another; `volume-missing`, it has a volume that the pool has
   * not; `volume-not-recorded`, the pool has one that it has not.
   */
  readonly kind:
    | 'suspended-volume'
    | 'half-made-volume'
    | 'abandoned-table'
    | 'suspended-pool'
    | 'needs-check'
    | 'not-checked'
    | 'record-missing'
    | 'record-damaged'
    | 'record-differs'
    | 'volume-missing'
    | 'volume-not-recorded'
  /** Name of the mapped device. */
  readonly device: string
  /** `rebuilt` and `dropped`: done to the record. */
  readonly action: 'resumed' | 'removed' | 'cleared' | 'rebuilt' | 'dropped' | 'none'
  /** Of the record: the file, what differs, or the thin id. */
  readonly detail?: string
  /** Where the action failed. */
  readonly error?: DmThinError
}

export async function mendPool(
  port: KernelPort,
  name: string,
  device: number,
  signal?: AbortSignal,
): Promise<Finding[]> {
  const lock = await takeSectionLock(port, name, signal)
  if (lock === undefined) return [{ kind: 'not-checked', device: name, action: 'none' }]
  try {
    const findings: Finding[] = []
    const pool = await port.deviceStatus({ name }, signal)
    if ((pool.flags & DEVICE_FLAG.suspended) !== 0) {
      findings.push({ kind: 'suspended-pool', device: name, action: 'none' })
      return findings // the volumes of a suspended pool are suspended with it
    }
    if ((pool.flags & DEVICE_FLAG.inactiveTable) !== 0) findings.push(await clearTable(port, name))
    for (const volume of await volumesOf(port, device, signal)) findings.push(...(await mendVolume(port, volume)))
    return findings
  } finally {
    port.release(lock)
  }
}

/** Looked for whatever is mended: a finding of it changes nothing. */
export async function conditionOf(port: KernelPort, name: string, signal?: AbortSignal): Promise<Finding[]> {
  const line = await poolStatusLine({ port, name }, signal)
  const needsCheck = !('transactionId' in line) || line.needsCheck
  return needsCheck ? [{ kind: 'needs-check', device: name, action: 'none' }] : []
}

async function volumesOf(port: KernelPort, device: number, signal?: AbortSignal): Promise<ListedDevice[]> {
  const own = await port.listDevices({ uuid: volumeUuidPrefix(device) }, signal)
  const foreign = await port.foreignThins(device, volumeUuidPrefix(device), signal)
  return [...own, ...foreign]
}

async function mendVolume(port: KernelPort, { name }: ListedDevice): Promise<Finding[]> {
  const found = await port.deviceStatus({ name }).catch((fault: unknown) => {
    if (!hasCode(fault, 'DM_NOT_FOUND')) throw fault
  })
  if (!found) return [] // another process took it away since
  const { flags, openCount } = found
  const has = (flag: number) => (flags & flag) !== 0
  if (!has(DEVICE_FLAG.activeTable)) {
    if (openCount > 0) return []
    return [await mended('half-made-volume', name, 'removed', port.remove({ name }, 5_000))]
  }
  const findings: Finding[] = []
  if (has(DEVICE_FLAG.inactiveTable)) findings.push(await clearTable(port, name))
  if (has(DEVICE_FLAG.suspended) && !has(DEVICE_FLAG.internalSuspend)) {
    findings.push(await mended('suspended-volume', name, 'resumed', port.resume({ name })))
  }
  return findings
}

const clearTable = (port: KernelPort, name: string): Promise<Finding> =>
  mended('abandoned-table', name, 'cleared', port.tableClear({ name }))

const mended = (
  kind: Finding['kind'],
  device: string,
  action: Finding['action'],
  act: Promise<unknown>,
): Promise<Finding> =>
  act.then(
    () => ({ kind, device, action }),
    (error: DmThinError) => ({ kind, device, action: 'none' as const, error }),
  )
