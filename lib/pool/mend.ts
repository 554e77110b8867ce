// What a process that died in the middle of a compound call leaves behind, and putting it right at the next open.
// The section lock tells the dead from the busy: compound calls hold it shared, and flock ends with its holder.
import { setTimeout as sleep } from 'node:timers/promises'
import { DmThinError, ERRNO } from '../errors.js'
import { DEVICE_FLAG, type Handle, type KernelPort, type ListedDevice } from '../kernel/port.js'
import { volumeUuidPrefix } from './context.js'

/** Something that open found amiss, and what it did. */
export interface Finding {
  /**
   * `suspended-volume`: left between suspend and resume; its I/O hung. `half-made-volume`: created, but without a
   * table. `abandoned-table`: a new table was loaded and never made live. `suspended-pool`: not touched, since only a
   * person suspends a pool. `not-checked`: other processes were in the middle of calls for so long that nothing was
   * looked at.
   */
  readonly kind: 'suspended-volume' | 'half-made-volume' | 'abandoned-table' | 'suspended-pool' | 'not-checked'
  /** Name of the mapped device. */
  readonly device: string
  readonly action: 'resumed' | 'removed' | 'cleared' | 'none'
  /** Where the action failed. */
  readonly error?: DmThinError
}

const LOCK_TRIES = 40
const LOCK_PAUSE_MS = 50

export async function mendPool(
  port: KernelPort,
  name: string,
  device: number,
  signal?: AbortSignal,
): Promise<Finding[]> {
  const lock = await takeLock(port, name, signal)
  if (lock === undefined) return [{ kind: 'not-checked', device: name, action: 'none' }]
  try {
    const findings: Finding[] = []
    const pool = await port.deviceStatus({ name }, signal)
    if ((pool.flags & DEVICE_FLAG.suspended) !== 0) {
      findings.push({ kind: 'suspended-pool', device: name, action: 'none' })
      return findings // the volumes of a suspended pool are suspended with it
    }
    for (const volume of await volumesOf(port, device, signal)) {
      const finding = await mendVolume(port, volume)
      if (finding) findings.push(finding)
    }
    return findings
  } finally {
    port.release(lock)
  }
}

async function volumesOf(port: KernelPort, device: number, signal?: AbortSignal): Promise<ListedDevice[]> {
  const own = await port.listDevices({ uuid: volumeUuidPrefix(device) }, signal)
  const foreign = await port.foreignThins(device, volumeUuidPrefix(device), signal)
  return [...own, ...foreign]
}

async function mendVolume(port: KernelPort, volume: ListedDevice): Promise<Finding | undefined> {
  const address = { name: volume.name }
  const { flags, openCount } = await port.deviceStatus(address)
  const has = (flag: number) => (flags & flag) !== 0
  const mended = (kind: Finding['kind'], action: Finding['action'], act: () => Promise<unknown>): Promise<Finding> =>
    act().then(
      () => ({ kind, device: volume.name, action }),
      (error: DmThinError) => ({ kind, device: volume.name, action: 'none' as const, error }),
    )
  if (!has(DEVICE_FLAG.activeTable)) {
    if (openCount > 0) return undefined
    return mended('half-made-volume', 'removed', () => port.remove(address, 5_000))
  }
  if (has(DEVICE_FLAG.inactiveTable)) return mended('abandoned-table', 'cleared', () => port.tableClear(address))
  if (has(DEVICE_FLAG.suspended) && !has(DEVICE_FLAG.internalSuspend)) {
    return mended('suspended-volume', 'resumed', () => port.resume(address))
  }
  return undefined
}

async function takeLock(port: KernelPort, name: string, signal?: AbortSignal): Promise<Handle | undefined> {
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    try {
      return await port.lockPool(name, signal)
    } catch (fault) {
      if (!(fault instanceof DmThinError) || fault.errno !== ERRNO.EAGAIN) {
        if (fault instanceof DmThinError && fault.code === 'DM_KERNEL') return undefined // /run cannot be written
        throw fault
      }
      await sleep(LOCK_PAUSE_MS)
    }
  }
  return undefined
}
