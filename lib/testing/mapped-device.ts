// A mapped device in memory: its tables, its state and its content.
import { DEVICE_FLAG, type DeviceInfo, type ListedDevice, type TargetLine } from '../kernel/port/device-port.js'
import { encodeDevice } from '../base/device-number.js'
import { SECTOR_BYTES } from '../base/units.js'
import { BlockDevice } from './block-device.js'
import { IoError } from './refusal.js'
import type { Target } from './targets.js'

/** The major number. Kernels assign at most 512 to block devices, so that no path leads to a device of this machine. */
const MAPPED_MAJOR = 1000

const mappedNumber = (minor: number): number => encodeDevice(MAPPED_MAJOR, minor)

export interface Table {
  readonly targets: readonly Target[]
  readonly readOnly: boolean
  /** The devices that the table names. */
  readonly below: readonly BlockDevice[]
  readonly destroy: () => void
}

export class MappedDevice extends BlockDevice {
  readonly number: number
  readonly path: string
  live: Table | undefined
  inactive: Table | undefined
  /** True if the device has a node, which is created with the first table. */
  hasNode = false
  suspended = false
  internalSuspend = false
  deferredRemove = false
  eventNumber = 0
  readOnly = false

  constructor(
    public name: string,
    public uuid: string,
    readonly minor: number,
    readonly onLastClose: (device: MappedDevice) => void,
  ) {
    super()
    this.number = mappedNumber(minor)
    this.path = `/dev/dm-${minor}`
  }

  get sizeBytes(): number {
    const last = this.live?.targets.at(-1)?.line
    return last ? (last.startSectors + last.lengthSectors) * SECTOR_BYTES : 0
  }

  get held(): boolean {
    return this.suspended || this.internalSuspend
  }

  /** Returns the state. `inactive`: of the inactive table. `uevent`: whether the call generated a uevent. */
  info({ inactive = false, uevent = false } = {}): DeviceInfo {
    const table = inactive ? this.inactive : this.live
    const flag = (on: boolean, bit: number) => (on ? bit : 0)
    return {
      name: this.name,
      uuid: this.uuid,
      device: this.number,
      openCount: this.openers.length,
      targetCount: table?.targets.length ?? 0,
      eventNumber: this.eventNumber,
      flags:
        flag(this.live !== undefined && this.readOnly && !inactive, DEVICE_FLAG.readOnly) |
        flag(this.suspended, DEVICE_FLAG.suspended) |
        flag(this.internalSuspend, DEVICE_FLAG.internalSuspend) |
        flag(this.live !== undefined, DEVICE_FLAG.activeTable) |
        flag(this.inactive !== undefined, DEVICE_FLAG.inactiveTable) |
        flag(this.deferredRemove, DEVICE_FLAG.deferredRemove) |
        flag(uevent, DEVICE_FLAG.ueventGenerated),
    }
  }

  get listed(): ListedDevice {
    return { name: this.name, uuid: this.uuid, device: this.number, eventNumber: this.eventNumber }
  }

  lines(inactive: boolean, text: (target: Target) => string): TargetLine[] {
    const table = inactive ? this.inactive : this.live
    return (table?.targets ?? []).map(target => ({ ...target.line, parameters: text(target) }))
  }

  read(offset: number, length: number): Uint8Array {
    const content = new Uint8Array(length)
    this.#each(offset, length, (target, inTarget, at, count) => content.set(target.read(inTarget, count), at))
    return content
  }

  write(offset: number, content: Uint8Array): void {
    if (this.readOnly) throw new IoError('EPERM')
    this.#each(offset, content.length, (target, inTarget, at, count) =>
      target.write(inTarget, content.subarray(at, at + count)),
    )
  }

  discard(offset: number, length: number): void {
    this.#each(offset, length, (target, inTarget, _, count) => {
      if (!target.discard) throw new IoError('EOPNOTSUPP')
      target.discard(inTarget, count)
    })
  }

  protected lastClosed(): void {
    this.onLastClose(this)
  }

  #each(offset: number, length: number, act: (target: Target, inTarget: number, at: number, count: number) => void) {
    for (const target of this.live?.targets ?? []) {
      const start = target.line.startSectors * SECTOR_BYTES
      const from = Math.max(offset, start)
      const to = Math.min(offset + length, start + target.line.lengthSectors * SECTOR_BYTES)
      if (to > from) act(target, from - start, from - offset, to - from)
    }
  }
}
