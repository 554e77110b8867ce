// Finds a loop device again: by the file below it, or by its number.
import { setTimeout as sleep } from 'node:timers/promises'
import { deviceMajor, deviceMinor, LOOP_MAJOR, parseDeviceNumber } from '../base/device-number.js'
import { type DmThinError, ERRNO } from '../base/errors.js'
import type { FilePort } from '../kernel/port/file-port.js'
import type { Handle } from '../kernel/port/handle.js'
import type { LoopPort, LoopStatus } from '../kernel/port/loop-port.js'

/** The loop device with this number, or undefined where it is another kind of device. */
export async function loopOf(port: LoopPort, number: string, signal?: AbortSignal) {
  const device = parseDeviceNumber(number)
  if (device === undefined || deviceMajor(device) !== LOOP_MAJOR) return undefined
  return port.loopStatus(deviceMinor(device), signal)
}

/**
 * The loop device over this very file: found by device and inode, because paths change and lie. One that shows only a
 * part of the file, as for partitions, is another device; the attach then says that the file is taken.
 */
async function findLoop(
  port: LoopPort & FilePort,
  file: string,
  signal?: AbortSignal,
): Promise<LoopStatus | undefined> {
  const identity = await port.identify(file, signal)
  const all = await port.loopList(signal)
  return all.find(
    loop =>
      loop.backingDevice === identity.device &&
      loop.backingInode === identity.inode &&
      loop.offsetBytes === 0 &&
      loop.sizeLimitBytes === 0,
  )
}

/**
 * Finds the loop device over this file and keeps it attached. Between the look and the holding its last user, a dying
 * process or udev, may close it; and its number may then be given to another file, which must never be taken for ours.
 */
export async function holdLoopOver(
  port: LoopPort & FilePort,
  file: string,
  signal?: AbortSignal,
): Promise<(LoopStatus & { readonly held: Handle }) | undefined> {
  for (;;) {
    const found = await findLoop(port, file, signal)
    if (!found) return undefined
    const held = await port.loopHold(found.number, signal).catch(unlessGone)
    if (held === undefined) continue
    const now = await findLoop(port, file, signal).catch(async fault => {
      await port.release(held)
      throw fault
    })
    if (now?.number === found.number) return { ...now, held }
    await port.release(held)
  }
}

function unlessGone(fault: DmThinError): undefined {
  if (fault.errno !== ERRNO.ENXIO && fault.errno !== ERRNO.ENOENT) throw fault
}

/**
 * An autoclear device detaches at its last close, which the kernel may finish a moment after the closing. The
 * number is free from then on: what is attached under it with another file is somebody else's.
 */
export async function untilDetached(port: LoopPort, ours: LoopStatus, limitMs: number): Promise<void> {
  const isOurs = (loop: LoopStatus) =>
    loop.number === ours.number && loop.backingDevice === ours.backingDevice && loop.backingInode === ours.backingInode
  const deadline = Date.now() + Math.min(limitMs, 2_000)
  while ((await port.loopList()).some(isOurs)) {
    if (Date.now() > deadline) return port.loopDetach(ours.number, limitMs)
    await sleep(5)
  }
}
