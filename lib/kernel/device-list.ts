// Lists of mapped devices in the formats of native code: see native/napi/packed_list.h, devices.cc and volumes.cc.
import type { DeviceInfo, ListedDevice, TargetLine } from './port/device-port.js'
import type { Inventory, ListedThin } from './port/pool-port.js'

export interface PackedList {
  /** For each device: name, NUL, uuid, NUL; in pieces. */
  readonly texts: readonly string[]
  /** For each device: its number, and its event number or -1. */
  readonly numbers: Float64Array
}

export interface PackedInventory {
  readonly pool: DeviceInfo
  readonly table: readonly TargetLine[]
  readonly status: readonly TargetLine[]
  /** For each thin: name, NUL, uuid, NUL, parameters of its table, NUL; in pieces. */
  readonly texts: readonly string[]
  /** For each thin: its device number, its id, its flags, its open count, and the length of its table or -1. */
  readonly numbers: Float64Array
}

/** Cuts the texts out of pieces, in which each ends with NUL. */
function* textsIn(pieces: readonly string[]): Generator<string, undefined> {
  for (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      const end = piece.indexOf('\0', at)
      yield piece.slice(at, end)
      at = end + 1
    }
  }
}

export function unpackList({ texts, numbers }: PackedList): ListedDevice[] {
  const list: ListedDevice[] = []
  const next = textsIn(texts)
  for (let at = 0; at < numbers.length; at += 2) {
    const name = next.next().value!
    const uuid = next.next().value!
    const device = numbers[at]!
    const eventNumber = numbers[at + 1]!
    list.push(eventNumber < 0 ? { name, uuid, device } : { name, uuid, device, eventNumber })
  }
  return list
}

const THIN_NUMBERS = 5

export function unpackInventory({ pool, table, status, texts, numbers }: PackedInventory): Inventory {
  const thins: ListedThin[] = []
  const next = textsIn(texts)
  for (let at = 0; at < numbers.length; at += THIN_NUMBERS) {
    const [device = 0, id = 0, flags = 0, openCount = 0, lengthSectors = 0] = numbers.subarray(at, at + THIN_NUMBERS)
    const name = next.next().value!
    const uuid = next.next().value!
    const parameters = next.next().value!
    const line = lengthSectors < 0 ? undefined : { startSectors: 0, lengthSectors, type: 'thin', parameters }
    thins.push({ name, uuid, device, id, flags, openCount, line })
  }
  return { pool, table, status, thins }
}
