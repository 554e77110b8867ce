// Replacement of a live device's table, and its rollback.
import {
  DEVICE_FLAG,
  LOAD_FLAG,
  TABLE_FLAG,
  type DeviceAddress,
  type TargetLine,
  type DevicePort,
} from '../kernel/port/device-port.js'
import { Rollback } from '../base/rollback.js'

export interface Replacement {
  readonly port: DevicePort
  readonly address: DeviceAddress
  readonly name: string
  readonly table: readonly TargetLine[]
  /** LOAD_FLAG bits. */
  readonly loadFlags: number
  /** TABLE_FLAG bits for the suspend: noflush, skipLockfs. */
  readonly suspendFlags: number
}

/**
 * Replaces the table: load, followed by suspend, swap and resume. The last three are one command of the kernel
 * (dm-ioctl.c do_resume suspends a device that has a loaded table): I/O is never held back while JavaScript runs, and a
 * killed process leaves no suspended device.
 */
export async function replaceTable(replacement: Replacement, signal?: AbortSignal): Promise<void> {
  const { port, address, name, table, loadFlags, suspendFlags } = replacement
  const rollback = new Rollback()
  await rollback.guard(async () => {
    const before = await liveTable(port, address)
    const { flags } = await port.deviceStatus(address)
    const wasReadOnly = (flags & DEVICE_FLAG.readOnly) !== 0
    const loading = new Rollback()
    // A table that another program has loaded before is still loaded after the kernel has rejected this one.
    const hadLoaded = (flags & DEVICE_FLAG.inactiveTable) !== 0
    if (!hadLoaded) loading.push('DM_TABLE_CLEAR', name, () => clearLoaded(replacement))
    await loading.guard(() => port.tableLoad(address, table, loadFlags, signal))
    // Run newest first: clear, restore, resume.
    rollback.push('DM_DEV_RESUME', name, () => port.resume(address), { always: true })
    rollback.push('DM_TABLE_LOAD', name, () => restore(replacement, before, wasReadOnly), { always: true })
    rollback.push('DM_TABLE_CLEAR', name, () => clearLoaded(replacement))
    await port.resume(address, signal, suspendFlags)
  })
}

const isLoaded = async ({ port, address }: Replacement): Promise<boolean> =>
  ((await port.deviceStatus(address)).flags & DEVICE_FLAG.inactiveTable) !== 0

/**
 * Clears the loaded table. A rejected table is not loaded and needs no clear. An unnecessary clear is avoided, because
 * after a TABLE_CLEAR of a device with a live table some kernels free memory twice when the device is renamed and
 * removed (docs/kernel-versions.md).
 */
const clearLoaded = async (replacement: Replacement): Promise<unknown> =>
  (await isLoaded(replacement)) && replacement.port.tableClear(replacement.address)

const liveTable = (port: DevicePort, address: DeviceAddress): Promise<TargetLine[]> =>
  port.tableStatus(address, TABLE_FLAG.table | TABLE_FLAG.noflush)

/**
 * Loads the old table again. That is necessary if a target failed only at the resume, when it was swapped in already,
 * and if the new table could not be cleared, because the resume would make it live.
 */
async function restore(
  replacement: Replacement,
  before: readonly TargetLine[],
  wasReadOnly: boolean,
): Promise<unknown> {
  const { port, address, loadFlags } = replacement
  const now = await liveTable(port, address)
  const isOld = now.length === before.length && now.every((line, at) => isSame(line, before[at]!))
  if (before.length === 0 || (isOld && !(await isLoaded(replacement)))) return false
  const flags = (loadFlags & LOAD_FLAG.secureData) | (wasReadOnly ? LOAD_FLAG.readOnly : 0)
  return port.tableLoad(address, before, flags)
}

const isSame = (one: TargetLine, other: TargetLine): boolean =>
  one.startSectors === other.startSectors &&
  one.lengthSectors === other.lengthSectors &&
  one.type === other.type &&
  one.parameters === other.parameters
