// The devices of another program's volumes while this process reads them: the device of that program, or one of this library.
// The device is held open, so that it cannot be removed before it is mounted.
import { signalOption } from '../../base/options.js'
import { type DmThinError, ERRNO, hasCode } from '../../base/errors.js'
import { BlockDevice, type BlockOpenOptions } from '../../block/block-device.js'
import type { ThinPool } from '../../pool/thin-pool.js'
import type { ThinVolume } from '../../pool/volume/thin-volume.js'
import { KeyLocks } from '../engine/key-locks.js'
import type { ForeignRecord } from './foreign-record.js'

/** The timeout of a deactivation. udev may still read a device that was just unmounted. */
const DEACTIVATE_TIMEOUT_MS = 1_000
/** The limit for successive failed activations, after which a device with the name counts as that of another program. */
const MAX_REFUSALS = 16

interface Up {
  readonly volume: ThinVolume
  readonly held: Pick<BlockDevice, 'close'>
}

type OpenDevice = (path: string, options: BlockOpenOptions) => Promise<Pick<BlockDevice, 'close'>>

/** The devices of a pool that this object uses. */
export class Devices {
  readonly #pool: ThinPool
  readonly #open: OpenDevice
  readonly #locks = new KeyLocks()
  /** The number of users in this object, by thin id. */
  readonly #users = new Map<number, number>()

  /** `open` opens a device in the kernel of the pool. */
  constructor(pool: ThinPool, open: OpenDevice = (path, options) => BlockDevice.open(path, options)) {
    this.#pool = pool
    this.#open = open
  }

  /** Runs `body` with the device of a record, activated and held open. */
  async with<T>(record: ForeignRecord, body: (path: string) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const lock = [String(record.thin)]
    const up = await this.#locks.run(lock, () => this.#up(record, signal))
    let result: T
    try {
      result = await body(up.volume.path)
    } catch (fault) {
      await this.#locks.run(lock, () => this.#down(up)).catch(() => {}) // the first error is the one that is reported
      throw fault
    }
    await this.#locks.run(lock, () => this.#down(up))
    return result
  }

  async #up(record: ForeignRecord, signal?: AbortSignal): Promise<Up> {
    const abort = signalOption(signal)
    for (;;) {
      const volume = await this.#active(record, signal)
      const held = await this.#open(volume.path, { readOnly: true, ...abort }).catch(unlessGone)
      if (!held) continue
      if (await this.#isStill(record, volume, held)) {
        this.#users.set(record.thin, (this.#users.get(record.thin) ?? 0) + 1)
        return { volume, held }
      }
      await held.close()
    }
  }

  /**
   * Checks that the device is still that of the volume. Before it was open, another process may have removed it, and its
   * number may have been reused.
   */
  async #isStill({ thin, sizeBytes }: ForeignRecord, volume: ThinVolume, held: Up['held']): Promise<boolean> {
    try {
      const now = await this.#pool.volume(thin, { sizeBytes })
      return now.active && now.path === volume.path
    } catch (fault) {
      await held.close().catch(() => {}) // the first error is the one that is reported
      throw fault
    }
  }

  async #active(record: ForeignRecord, signal?: AbortSignal): Promise<ThinVolume> {
    const abort = signalOption(signal)
    for (let refusals = 1; ; refusals += 1) {
      const volume = await this.#pool.volume(record.thin, { sizeBytes: record.sizeBytes, ...abort })
      if (volume.active) return volume
      try {
        return await volume.activate({ readOnly: true, ...abort })
      } catch (fault) {
        // Another process activated the volume. Its device may have been removed before it could be identified.
        const wasQuicker = hasCode(fault, 'DM_ALREADY_ACTIVE', 'DM_NAME_TAKEN')
        if (!wasQuicker || refusals > MAX_REFUSALS) throw fault
      }
    }
  }

  /** Releases a device. The last user, in any process, deactivates a device of this library, also one of a dead process. */
  async #down({ volume, held }: Up): Promise<void> {
    const left = this.#users.get(volume.id)! - 1
    if (left > 0) this.#users.set(volume.id, left)
    else this.#users.delete(volume.id)
    await held.close()
    if (left > 0 || volume.name !== `${this.#pool.name}-${volume.id}`) return
    await volume.deactivate({ timeoutMs: DEACTIVATE_TIMEOUT_MS }).catch((fault: unknown) => {
      if (!hasCode(fault, 'DM_BUSY', 'DM_NOT_FOUND')) throw fault
    })
  }
}

function unlessGone(fault: unknown): undefined {
  const { errno } = fault as DmThinError
  if (errno !== ERRNO.ENOENT && errno !== ERRNO.ENXIO && errno !== ERRNO.ENODEV) throw fault
  return undefined
}
