// One target against the kernel: our line is taken, theirs is read, and what was read is taken again.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { MappedDevice, type Sized, type Target, type TargetLine } from '../../../lib/entry/kernel.js'
import { readAt } from '../kernel/blocks.js'
import { withLoops } from '../pool/pools.js'
import type { Scratch } from '../kernel/scratch.js'
import { run } from '../process/spawned.js'
import { dmStatus } from '../kernel/dmsetup.js'

/** As dmsetup prints it, without the blank at the end that some targets print. */
export const shownLine = ({ startSectors, lengthSectors, type, parameters }: TargetLine): string =>
  `${startSectors} ${lengthSectors} ${type} ${parameters}`.trim()

export const dmTableWithKeys = (name: string): string => run('dmsetup', ['table', '--showkeys', name]).trim()

export interface Seen<Table, Status> {
  readonly device: MappedDevice
  /** The arguments that the kernel prints. */
  readonly line: string
  readonly table: Table
  readonly status: Status
}

/**
 * Makes a device of one segment, and holds our reading of its lines against dmsetup's. The table that was read gives
 * the kernel's own line again, and the kernel takes that in place of the first. `body` looks further. The order of the
 * words after the first `fixedWords` depends on the version of the kernel.
 */
export async function roundTrip<Table extends Sized, Status>(
  scratch: Scratch,
  target: Target<Table, Status>,
  table: Table,
  body: (seen: Seen<Table, Status>) => Promise<void> | void = () => {},
  { reload = true, readOnly = false, fixedWords = Infinity } = {},
): Promise<void> {
  const name = scratch.name(target.type)
  const device = await MappedDevice.create({ name, table: [target(table)], readOnly })
  const look = async () => {
    const [line] = await device.table()
    const status = await sameStatus(device)
    expect(shownLine(line!)).toBe(dmTableWithKeys(name))
    const read = target.parseTable(line!)
    const made = target(read)
    expect({ ...made, parameters: inOrder(made.parameters, fixedWords) }).toEqual({
      lengthSectors: table.lengthSectors,
      type: target.type,
      parameters: inOrder(line!.parameters.trim(), fixedWords),
    })
    return { device, line: line!.parameters.trim(), table: read, status: target.parseStatus(status) }
  }
  try {
    const seen = await look()
    await body(seen)
    if (reload) {
      await device.replaceTable([target(seen.table)], { readOnly })
      expect((await look()).table).toEqual(seen.table)
    }
  } finally {
    await device.remove()
  }
}

/** The words of a line, those after the first `fixed` by name. */
function inOrder(parameters: string, fixed: number): string {
  const words = parameters.split(' ')
  return [...words.slice(0, fixed), ...words.slice(fixed).sort()].join(' ')
}

/** Some go on by themselves (a merge, a resync): asked again until dmsetup and we have seen the same. */
async function sameStatus(device: MappedDevice): Promise<TargetLine> {
  for (let left = 100; ; left--) {
    const [status] = await device.status()
    const theirs = dmStatus(device.name)
    if (shownLine(status!) === theirs) return status!
    if (left === 0) expect(shownLine(status!)).toBe(theirs)
  }
}

let files = 0

/** Sparse files of the given sizes as loop devices, while `body` runs: their numbers as `7:3`. */
export async function withDevices<T>(
  scratch: Scratch,
  sizesBytes: readonly number[],
  body: (numbers: string[]) => Promise<T>,
): Promise<T> {
  const made = sizesBytes.map(size => {
    const file = scratch.path(`device-${++files}.img`)
    writeFileSync(file, '')
    truncateSync(file, size)
    return file
  })
  return withLoops(made, body)
}

/**
 * What has arrived below, on the loop device `7:3`: out of its file. Its node has a cache of its own, which what udev
 * has read once stays in, whatever a mapped device writes past it.
 */
export function readBelow(number: string, offset: number, bytes: number): Promise<Buffer> {
  const file = readFileSync(`/sys/dev/block/${number}/loop/backing_file`, 'utf8').trim()
  return readAt(file, offset, bytes)
}
