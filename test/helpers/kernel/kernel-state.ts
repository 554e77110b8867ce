// What the kernel holds of ours, told apart by a mark: mapped devices by name, loop devices by the place of their
// file, mounts by their mount point. Nothing without the mark is ever looked at twice, let alone touched.
import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { DmThinError } from '../../../lib/entry/index.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { DEVICE_FLAG, TABLE_FLAG, type TargetLine } from '../../../lib/kernel/port/device-port.js'
import { tryRun } from '../process/spawned.js'

/** Every name that a test gives to anything begins with this. */
export const MARK = 'dmthintest-'

const scratchRoot = path.join(realpathSync(tmpdir()), MARK)

/** Whether a path lies in a scratch directory, this process's or a dead one's. */
const isScratch = (file: string): boolean => file.startsWith(scratchRoot)

export interface DmEntry {
  readonly name: string
  readonly uuid: string
  /** `L` live, `I` inactive table, `-`; then `s` suspended; then `r` or `w`: dmsetup's own letters. */
  readonly attributes: string
  readonly openCount: number
}

const DEVICES = ['info', '-c', '--noheadings', '--separator', ' ', '-o', 'name,attr,open,uuid']

/** Marked mapped devices, by dmsetup, or none if sysfs has none. */
export const markedDevices = (): DmEntry[] => (anyDeviceIsMarked() ? devicesByDmsetup() : [])

/** dmsetup asks for each that it has listed, and fails where one has gone since. */
function devicesByDmsetup(): DmEntry[] {
  for (;;) {
    const { status, stdout, stderr } = tryRun('dmsetup', DEVICES)
    if (status === 0) return devicesIn(stdout)
    if (!/does not exist/.test(stderr)) throw new Error(`dmsetup ${DEVICES.join(' ')} ended with ${status}: ${stderr}`)
  }
}

function devicesIn(text: string): DmEntry[] {
  const lines = text.split('\n')
  return lines
    .filter(line => line.startsWith(MARK))
    .map(line => {
      const [name = '', attributes = '', open = '0', uuid = ''] = line.split(' ')
      return { name, uuid, attributes, openCount: Number(open) }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** sysfs tells whether it is worth starting a program. A device is in sysfs from its first table on. */
const anyDeviceIsMarked = (): boolean =>
  readdirSync('/sys/block').some(name => name.startsWith('dm-') && attribute(`${name}/dm/name`).startsWith(MARK))

/** Empty where there is none. A device that goes is still named for a moment: its file is gone, or cannot be read. */
function attribute(file: string): string {
  try {
    return readFileSync(`/sys/block/${file}`, 'utf8').replace(/\n$/, '')
  } catch (fault) {
    if (['ENOENT', 'ENODEV', 'ENXIO', 'EINVAL'].includes((fault as NodeJS.ErrnoException).code!)) return ''
    throw fault
  }
}

export interface LoopEntry {
  readonly name: string
  readonly file: string
  readonly autoclear: boolean
  readonly readOnly: boolean
  readonly offset: number
}

/** Marked loop devices, by sysfs, which is where losetup looks. */
export function markedLoops(): LoopEntry[] {
  return readdirSync('/sys/block')
    .filter(node => node.startsWith('loop'))
    .map(node => ({
      name: `/dev/${node}`,
      file: attribute(`${node}/loop/backing_file`),
      autoclear: attribute(`${node}/loop/autoclear`) === '1',
      readOnly: attribute(`${node}/ro`) === '1',
      offset: Number(attribute(`${node}/loop/offset`)),
    }))
    .filter(each => isScratch(each.file))
    .sort((a, b) => (a.file < b.file ? -1 : 1))
}

/** Marked mount points of this process's view, in the order of mounting. */
export function markedMounts(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  return lines.map(line => line.split(' ')[4] ?? '').filter(isScratch)
}

/**
 * All of it as one text, empty when there is nothing: equal before and after means that nothing was changed and
 * nothing left behind. Event counters are not in it, since reading does not change a device but may be an event. Devices
 * are read by the library's own ioctls, because a test does it often and a program takes a thousand times as long;
 * test/kernel/mapper compares them with dmsetup, and the runner asks dmsetup at the end of each guest.
 */
export async function snapshotKernelState(): Promise<string> {
  const devices = await nativePort().listDevices({})
  const marked = devices.filter(({ name }) => name.startsWith(MARK)).sort((a, b) => (a.name < b.name ? -1 : 1))
  const lines = (await Promise.all(marked.map(withTables))).flat()
  for (const loop of markedLoops()) lines.push(`loop ${Object.values(loop).join(' ')}`)
  for (const mount of markedMounts()) lines.push(`mount ${mount}`)
  return lines.join('\n')
}

/** A device that goes meanwhile is none. */
async function withTables({ name }: { readonly name: string }): Promise<string[]> {
  const port = nativePort()
  const { table, noflush, inactive } = TABLE_FLAG
  try {
    const { info, targets } = await port.deviceLines({ name }, table | noflush)
    const others = await port.tableStatus({ name }, table | noflush | inactive)
    return [
      `device ${name} ${info.uuid || '-'} flags ${info.flags & LASTING_FLAGS} open ${info.openCount}`,
      `  live ${targets.map(textOf).join('; ')}`,
      `  inactive ${others.map(textOf).join('; ')}`,
    ]
  } catch (fault) {
    if ((fault as DmThinError).code === 'DM_NOT_FOUND') return []
    throw fault
  }
}

const LASTING_FLAGS =
  DEVICE_FLAG.readOnly |
  DEVICE_FLAG.suspended |
  DEVICE_FLAG.activeTable |
  DEVICE_FLAG.inactiveTable |
  DEVICE_FLAG.deferredRemove |
  DEVICE_FLAG.internalSuspend

const textOf = ({ startSectors, lengthSectors, type, parameters }: TargetLine): string =>
  `${startSectors} ${lengthSectors} ${type} ${parameters}`.trim()

/**
 * Takes away everything marked, whatever state it is in: for before and after tests, also those that failed and those
 * whose process was killed. Throws when something resists.
 */
export async function sweep(): Promise<void> {
  if ((await snapshotKernelState()) === '') return
  for (const mount of markedMounts().reverse()) tryRun('umount', ['--lazy', mount])
  for (let left = devicesByDmsetup(); left.length > 0;) {
    // Pools first: a thin of a suspended pool cannot be resumed, and I/O that waits keeps its device open.
    const suspended = left.filter(each => each.attributes.includes('s'))
    for (const each of [...suspended, ...suspended]) tryRun('dmsetup', ['resume', '--noudevsync', each.name])
    // Whatever is stacked on another must go first; the kernel says EBUSY to the others, and the next round has them.
    for (const each of left) tryRun('dmsetup', ['remove', '--noudevsync', each.name])
    const now = devicesByDmsetup()
    if (now.length === left.length) for (const each of now) removeByForce(each.name)
    const after = now.length === left.length ? devicesByDmsetup() : now
    if (after.length === left.length) throw new Error(`sweep: cannot remove ${after.map(each => each.name).join(', ')}`)
    left = after
  }
  for (const loop of markedLoops()) tryRun('losetup', ['--detach', loop.name])
  const left = await snapshotKernelState()
  if (left !== '') throw new Error(`sweep: this resists:\n${left}`)
}

const removeByForce = (name: string) => tryRun('dmsetup', ['remove', '--force', '--noudevsync', name])
