// The list of mapped devices in the format of native code: see native/napi/device_list.h.
import type { ListedDevice } from './port/device-port.js'

export interface PackedList {
  /** For each device: name, NUL, uuid, NUL; in pieces. */
  readonly texts: readonly string[]
  /** For each device: its number, and its event number or -1. */
  readonly numbers: Float64Array
}

export function unpackList({ texts, numbers }: PackedList): ListedDevice[] {
  const list: ListedDevice[] = []
  for (const text of texts) {
    for (let at = 0; at < text.length;) {
      const nameEnd = text.indexOf('\0', at)
      const uuidEnd = text.indexOf('\0', nameEnd + 1)
      const name = text.slice(at, nameEnd)
      const uuid = text.slice(nameEnd + 1, uuidEnd)
      const device = numbers[2 * list.length]!
      const eventNumber = numbers[2 * list.length + 1]!
      list.push(eventNumber < 0 ? { name, uuid, device } : { name, uuid, device, eventNumber })
      at = uuidEnd + 1
    }
  }
  return list
}
