// The device of a volume that streams read. The streams of a thread share one; with those of other threads and processes,
// and with other programs, they share the mapped device. The stream that finds the volume inactive activates it. When that
// stream ends, it leaves the removal to the kernel, which removes the device when nobody has it open (DM_DEFERRED_REMOVE).
import { lstatSync } from 'node:fs'
import { setTimeout as after } from 'node:timers/promises'
import { deviceNumber } from '../base/device-number.js'
import { DmThinError, ERRNO, hasCode, throwIfAborted, undefinedIf } from '../base/errors.js'
import { FairLocks } from '../base/fair-locks.js'
import { signalOption, type SignalOption } from '../base/options.js'
import { BlockDevice } from '../block/block-device.js'
import { DEVICE_FLAG } from '../kernel/port/device-port.js'
import type { PoolContext } from '../pool/state/context.js'
import type { ThinVolume } from '../pool/volume/thin-volume.js'

/** A process that is overtaken by others tries again so often, and waits so long before each attempt. */
const [MAX_TRIES, PAUSE_MS] = [100, 10]
/** The time that the kernel has to remove a device that nobody has open. */
const REMOVAL_LIMIT_MS = 10_000

interface Shared {
  readonly device: BlockDevice
  readonly sizeBytes: number
  /** True if a stream of this thread has activated the volume. */
  readonly isOwn: boolean
  /** The inode in sysfs, which differs from those of devices that had its number before, or have it later. */
  readonly inode: bigint | undefined
  readers: number
}

/** The open device of a volume. */
interface FrozenDevice extends Pick<Shared, 'device' | 'sizeBytes'> {
  /** Ends the use of the device. Called once. */
  readonly close: () => Promise<void>
}

/** By the uuid of the pool and the thin id. */
const shared = new Map<string, Shared>()
const locks = new FairLocks()

/** Opens the device of a volume that nobody can write. While it is open, the volume cannot be deactivated. */
export async function openFrozen(
  volume: ThinVolume,
  context: PoolContext,
  signal: AbortSignal | undefined,
): Promise<FrozenDevice> {
  const key = `${context.uuid} ${volume.id}`
  const release = await locks.take(key, 'exclusive', signal)
  try {
    const found = shared.get(key) ?? (await open(volume, context, signal))
    found.readers++
    shared.set(key, found)
    const { device, sizeBytes } = found
    return { device, sizeBytes, close: () => close(key, volume, context) }
  } finally {
    release()
  }
}

async function close(key: string, volume: ThinVolume, context: PoolContext): Promise<void> {
  const release = await locks.take(key, 'exclusive')
  try {
    const found = shared.get(key)!
    if (--found.readers > 0) return
    shared.delete(key)
    await leave(volume, context, found)
  } finally {
    release()
  }
}

/** Opens the device. Begins again if another process has removed it, or activated the volume, in the meantime. */
async function open(volume: ThinVolume, context: PoolContext, signal: AbortSignal | undefined): Promise<Shared> {
  for (let tries = 1; ; tries++) {
    const found = await openOnce(volume, context, signal)
    if (!(found instanceof DmThinError)) {
      if (signal?.aborted) await leave(volume, context, found)
      throwIfAborted(signal)
      return found
    }
    if (tries === MAX_TRIES) throw found
    await after(PAUSE_MS)
  }
}

/** Returns the error if another process was faster. */
async function openOnce(
  volume: ThinVolume,
  { port }: PoolContext,
  signal: AbortSignal | undefined,
): Promise<Shared | DmThinError> {
  const wanted = signalOption(signal)
  const isOwn = !(await volume.refresh(wanted))
  if (volume.externalOrigin !== undefined) {
    const text = `volume ${volume.id} has the external origin ${volume.externalOrigin}, which is not sent`
    throw new DmThinError('DM_UNSUPPORTED', text, { device: volume.name })
  }
  const taken = isOwn && (await activated(volume, wanted))
  if (taken) return taken
  // Not aborted: until this process has the device open, another process may put its own in the place of it.
  const device = await BlockDevice.open(volume.path, { readOnly: true }).catch(async (fault: unknown) => {
    if (isOwn) await port.remove(volume.state.address, 0, undefined, true).catch(undefinedIf('DM_NOT_FOUND'))
    else if (isGone(fault)) return fault
    throw fault
  })
  if (device instanceof DmThinError) return device
  try {
    const { flags, device: number } = await port.deviceStatus(volume.state.address)
    if (deviceNumber(number) !== device.number) throw volume.state.notActive()
    if ((flags & DEVICE_FLAG.readOnly) === 0) {
      throw new DmThinError('DM_VOLUME_ACTIVE', `volume ${volume.id} is active for writing`, { device: volume.name })
    }
    return { device, sizeBytes: await device.size(), isOwn, inode: inodeOf(device), readers: 0 }
  } catch (fault) {
    await device.close()
    if (isGone(fault)) return fault
    throw fault
  }
}

/** Activates the volume. Returns the error if it is active by now. */
async function activated(volume: ThinVolume, wanted: SignalOption): Promise<DmThinError | undefined> {
  try {
    await volume.activate({ readOnly: true, ...wanted })
    return undefined
  } catch (fault) {
    // The name: the device that had it was gone when its uuid was looked for.
    if (hasCode(fault, 'DM_ALREADY_ACTIVE', 'DM_NAME_TAKEN')) return fault
    throw fault
  }
}

/** Returns true if the device was removed, or if its number is another's. */
const isGone = (fault: unknown): fault is DmThinError =>
  hasCode(fault, 'DM_FILE_MISSING', 'DM_NOT_FOUND', 'DM_NOT_ACTIVE') ||
  (hasCode(fault, 'DM_KERNEL') && fault.errno === ERRNO.ENXIO)

/**
 * Closes the device. One that a stream has activated is marked for removal at its last close before, because nobody can put
 * another device in its place while it is open here. Waits for the removal, unless somebody else has the device open.
 */
async function leave(volume: ThinVolume, { port }: PoolContext, { device, isOwn, inode }: Shared): Promise<void> {
  const { address } = volume.state
  try {
    if (isOwn) await port.remove(address, 0, undefined, true)
  } finally {
    await device.close()
  }
  for (const end = performance.now() + REMOVAL_LIMIT_MS; performance.now() < end; await after(1)) {
    const info = await port.deviceStatus(address).catch(undefinedIf('DM_NOT_FOUND'))
    const stays = info && ((info.flags & DEVICE_FLAG.deferredRemove) === 0 || info.openCount > 0)
    if (stays) return
    // The kernel forgets the uuid first, and closes the pool and the volume last but for the entry in sysfs.
    const present = inodeOf(device)
    if (!info && (present === undefined || present !== inode)) return volume.state.deactivated(0, 0)
  }
}

const inodeOf = ({ number }: BlockDevice): bigint | undefined =>
  lstatSync(`/sys/dev/block/${number}`, { bigint: true, throwIfNoEntry: false })?.ino
