// What sysfs says of mapped devices and loop devices: outside of the library, and at the price of a few system calls.
import { readdirSync, readFileSync } from 'node:fs'

export interface SysfsDevice {
  readonly name: string
  readonly uuid: string
  readonly suspended: boolean
  /** 0 if it has no table. */
  readonly sectors: number
}

/** Mapped devices whose name begins with one of these. */
export function sysfsDevices(names: readonly string[]): SysfsDevice[] {
  const found: SysfsDevice[] = []
  for (const node of readdirSync('/sys/block')) {
    if (!node.startsWith('dm-')) continue
    const name = attribute(node, 'dm/name')
    if (!names.some(each => name.startsWith(each))) continue
    const [uuid, suspended, size] = ['dm/uuid', 'dm/suspended', 'size'].map(file => attribute(node, file))
    found.push({ name, uuid: uuid!, suspended: suspended === '1', sectors: Number(size) })
  }
  return found
}

/** Those of `files` that loop devices have, each as often as it is attached. */
export function sysfsLoops(files: readonly string[]): string[] {
  const loops = readdirSync('/sys/block').filter(name => name.startsWith('loop'))
  const attached = loops.map(name => attribute(name, 'loop/backing_file').replace(/ \(deleted\)$/, ''))
  return attached.filter(file => files.includes(file))
}

/** Empty if it does not exist. */
function attribute(node: string, file: string): string {
  try {
    return readFileSync(`/sys/block/${node}/${file}`, 'utf8').trim()
  } catch {
    return ''
  }
}
