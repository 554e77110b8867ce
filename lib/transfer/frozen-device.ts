// The device of a volume that streams read. The streams of a process share it: the first activates the volume if it is not
// active, and the last deactivates it then. A stream may end after its reader has gone on to the next one.
import { DmThinError } from '../base/errors.js'
import { FairLocks } from '../base/fair-locks.js'
import { signalOption } from '../base/options.js'
import { BlockDevice } from '../block/block-device.js'
import { DEVICE_FLAG } from '../kernel/port/device-port.js'
import type { PoolContext } from '../pool/state/context.js'
import type { ThinVolume } from '../pool/volume/thin-volume.js'

interface Shared {
  readonly device: BlockDevice
  readonly sizeBytes: number
  readonly wasActive: boolean
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
    return { device, sizeBytes, close: () => close(key, volume) }
  } finally {
    release()
  }
}

async function close(key: string, volume: ThinVolume): Promise<void> {
  const release = await locks.take(key, 'exclusive')
  try {
    const found = shared.get(key)!
    if (--found.readers > 0) return
    shared.delete(key)
    await found.device.close()
    if (!found.wasActive) await volume.deactivate()
  } finally {
    release()
  }
}

async function open(volume: ThinVolume, { port }: PoolContext, signal: AbortSignal | undefined): Promise<Shared> {
  const wanted = signalOption(signal)
  const wasActive = await volume.refresh(wanted)
  if (volume.externalOrigin !== undefined) {
    const text = `volume ${volume.id} has the external origin ${volume.externalOrigin}, which is not sent`
    throw new DmThinError('DM_UNSUPPORTED', text, { device: volume.name })
  }
  if (!wasActive) await volume.activate({ readOnly: true, ...wanted })
  try {
    const device = await BlockDevice.open(volume.path, { readOnly: true, ...wanted })
    try {
      const { flags } = await port.deviceStatus(volume.state.address, signal)
      if ((flags & DEVICE_FLAG.readOnly) === 0) {
        throw new DmThinError('DM_VOLUME_ACTIVE', `volume ${volume.id} is active for writing`, { device: volume.name })
      }
      return { device, sizeBytes: await device.size(wanted), wasActive, readers: 0 }
    } catch (fault) {
      await device.close()
      throw fault
    }
  } catch (fault) {
    if (!wasActive) await volume.deactivate()
    throw fault
  }
}
