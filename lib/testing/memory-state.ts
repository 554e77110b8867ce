// The state of a memory kernel. The port and the controls for tests use it.
import { ERRNO } from '../base/errors.js'
import { FairLocks } from '../base/fair-locks.js'
import type { Handle } from '../kernel/port/handle.js'
import type { NativeOperation } from '../kernel/errors/native-operation.js'
import { deviceMajor, deviceMinor, LOOP_MAJOR, parseDeviceNumber } from '../base/device-number.js'
import type { BlockDevice } from './block-device.js'
import { Changes } from './changes.js'
import { Faults } from './faults.js'
import { MappedDevice } from './mapped-device.js'
import { Mapper } from './mapper.js'
import { Refusal } from './refusal.js'
import type { Bytes } from './sparse-bytes.js'
import { Storage } from './storage.js'

export interface Mounted {
  readonly target: string
  readonly close: () => void
}

/** The parts of a memory kernel. */
export class MemoryState {
  readonly faults = new Faults()
  readonly changes = new Changes()
  readonly storage = new Storage()
  readonly mapper = new Mapper(this.faults, this.changes, text => this.#other(text))
  readonly mounts: Mounted[] = []
  /** The locks of pools and of the devices below them, for all ports of this kernel. */
  readonly locks = new FairLocks()
  /** The locked nodes and folders: numbers of block devices, and paths of folders. */
  readonly lockedNodes = new Set<number | string>()
  readonly #handles = new Map<number, () => void>()
  #nextHandle = 1

  handle(close: () => void): Handle {
    const handle = this.#nextHandle++ as Handle
    this.#handles.set(handle, close)
    return handle
  }

  release(handle: Handle): void {
    const close = this.#handles.get(handle)
    this.#handles.delete(handle)
    close?.()
    this.changes.announce()
  }

  /** Returns the block device of a node: `/dev/dm-0`, `/dev/loop0`, `/dev/block/7:0`. */
  node(path: string): BlockDevice | undefined {
    const mapped = this.mapper.devices.find(device => device.hasNode && device.path === path)
    if (mapped) return mapped
    const loop = /^\/dev\/loop(\d+)$/.exec(path)
    if (loop) return this.storage.loop(Number(loop[1]))
    const number = parseDeviceNumber(/^\/dev\/block\/(.*)$/.exec(path)?.[1] ?? '')
    return number === undefined ? undefined : this.numbered(number)
  }

  numbered(number: number): BlockDevice | undefined {
    if (deviceMajor(number) === LOOP_MAJOR) return this.storage.loop(deviceMinor(number))
    return this.mapper.find({ device: number })
  }

  device(operation: NativeOperation, path: string): BlockDevice {
    const device = this.node(path)
    if (device) return device
    const errno = this.storage.file(path) ? ERRNO.ENOTTY : ERRNO.ENOENT
    throw new Refusal(errno === ERRNO.ENOENT ? 'open' : operation, errno, { device: path })
  }

  /** Returns the content of a device or file. Writes the metadata of all pools to their devices first. */
  content(path: string): Bytes {
    this.mapper.sync()
    const found = this.node(path) ?? this.storage.file(path)?.bytes
    if (!found) throw new Refusal('open', ERRNO.ENOENT, { device: path })
    return found
  }

  /** Waits until I/O to a device is possible: neither the device nor its pool is suspended. */
  async untilResumed(path: string): Promise<void> {
    await this.changes.until(() => {
      const device = this.node(path)
      return device instanceof MappedDevice && device.held ? undefined : true
    })
  }

  #other(text: string): BlockDevice | number {
    const number = parseDeviceNumber(text)
    if (number !== undefined) return this.numbered(number) ?? ERRNO.ENXIO
    return this.node(text) ?? (this.storage.file(text) ? ERRNO.ENOTBLK : ERRNO.ENOENT)
  }
}
