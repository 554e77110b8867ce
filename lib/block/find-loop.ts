// Search for a loop device by the file below it, or by its number.
import { setTimeout as sleep } from 'node:timers/promises'
import { deviceMajor, deviceMinor, LOOP_MAJOR, parseDeviceNumber } from '../base/device-number.js'
import { DmThinError, ERRNO } from '../base/errors.js'
import type { FileIdentity, FilePort } from '../kernel/port/file-port.js'
import type { Handle } from '../kernel/port/handle.js'
import type { LoopPort, LoopStatus } from '../kernel/port/loop-port.js'

/** Returns the loop device with this number, or undefined if it is another kind of device. */
export async function loopOf(port: LoopPort, number: string, signal?: AbortSignal) {
  const device = parseDeviceNumber(number)
  if (device === undefined || deviceMajor(device) !== LOOP_MAJOR) return undefined
  return port.loopStatus(deviceMinor(device), signal)
}

/**
 * Returns the loop device over this very file. It compares device and inode, because paths change and may mislead. A
 * loop device that shows only a part of the file, as for partitions, does not count; the attach reports the file as
 * attached in that case.
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
 * Rejects with `DM_BUSY` if the file is attached to a loop device, also if that shows only a part of it. `so`: the end of
 * the message, which says what follows or what to do.
 */
export async function refuseAttached(
  port: LoopPort,
  file: string,
  { device, inode }: Pick<FileIdentity, 'device' | 'inode'>,
  so: string,
  signal?: AbortSignal,
  operation?: string,
): Promise<void> {
  const all = await port.loopList(signal)
  const attached = all.find(loop => loop.backingDevice === device && loop.backingInode === inode)
  if (!attached) return
  const text = `${file} is attached to /dev/loop${attached.number}${so}`
  throw new DmThinError('DM_BUSY', text, { errno: ERRNO.EBUSY, operation, device: file })
}

/**
 * Finds the loop device over this file and keeps it attached. Before it is held, its last user (an ending process or
 * udev) may close it, and the kernel may attach another file under its number. That device must not be mistaken for the
 * one that was found.
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
 * Waits until an autoclear device is detached. The kernel detaches it at the last close, which may complete a moment
 * after the call. Its number is free afterwards: a device with another file under that number belongs to another
 * program.
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
