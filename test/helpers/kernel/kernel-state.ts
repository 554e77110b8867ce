// What the kernel holds of ours, told apart by a mark: mapped devices by name, loop devices by the place of their
// file, mounts by their mount point. Nothing without the mark is ever looked at twice, let alone touched.
import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { run, tryRun, tryRunEach } from '../process/spawned.js'

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

/** Marked mapped devices, by dmsetup. It asks for each that it has listed, and fails where one has gone since. */
export function markedDevices(): DmEntry[] {
  while (anyDeviceIsMarked()) {
    const { status, stdout, stderr } = tryRun('dmsetup', DEVICES)
    if (status === 0) return devicesIn(stdout)
    if (!/does not exist/.test(stderr)) throw new Error(`dmsetup ${DEVICES.join(' ')} ended with ${status}: ${stderr}`)
  }
  return []
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

/**
 * sysfs tells at once whether it is worth asking: most of the time there is nothing, and a program costs a test dear. A
 * device is in sysfs from its first table on. Where steps are made to fail, dmsetup is asked for those without one.
 */
const anyDeviceIsMarked = (): boolean =>
  readdirSync('/sys/block').some(name => name.startsWith('dm-') && attribute(`${name}/dm/name`).startsWith(MARK)) ||
  (process.env['DM_THIN_PREBUILD'] !== undefined &&
    run('dmsetup', ['ls'])
      .split('\n')
      .some(line => line.startsWith(MARK)))

const anyLoopIsMarked = (): boolean =>
  readdirSync('/sys/block').some(name => name.startsWith('loop') && isScratch(attribute(`${name}/loop/backing_file`)))

/** Empty where there is none. A device that goes is still named for a moment: its file is gone, or cannot be read. */
function attribute(file: string): string {
  try {
    return readFileSync(`/sys/block/${file}`, 'utf8')
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

/** Marked loop devices, by losetup. */
export function markedLoops(): LoopEntry[] {
  if (!anyLoopIsMarked()) return []
  const text = run('losetup', ['--list', '--json', '--output', 'NAME,BACK-FILE,AUTOCLEAR,RO,OFFSET'])
  if (text.trim() === '') return []
  const { loopdevices } = JSON.parse(text) as { loopdevices: Record<string, unknown>[] }
  return loopdevices
    .map(each => ({
      name: String(each.name),
      file: String(each['back-file']),
      autoclear: each.autoclear === true || each.autoclear === '1',
      readOnly: each.ro === true || each.ro === '1',
      offset: Number(each.offset),
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
 * nothing left behind. Event counters are not in it, since reading does not change a device but may be an event.
 */
export function snapshotKernelState(): string {
  const lines = anyDeviceIsMarked() ? devicesWithTables() : []
  for (const loop of markedLoops()) lines.push(`loop ${Object.values(loop).join(' ')}`)
  for (const mount of markedMounts()) lines.push(`mount ${mount}`)
  return lines.join('\n')
}

/** Each line of a table stands behind the name of its device: three programs for all of them. */
function devicesWithTables(): string[] {
  const words = [DEVICES, ['table'], ['table', '--inactive']]
  const [devices, live, inactive] = tryRunEach(words.map(each => ['dmsetup', ...each]))
  if (devices!.status !== 0) throw new Error(`dmsetup info ended with ${devices!.status}`)
  return devicesIn(devices!.stdout).flatMap(({ name, uuid, attributes, openCount }) => [
    `device ${name} ${uuid || '-'} ${attributes} open ${openCount}`,
    `  live ${tableIn(live!.stdout, name)}`,
    `  inactive ${tableIn(inactive!.stdout, name)}`,
  ])
}

function tableIn(text: string, name: string): string {
  const lines = text.split('\n').filter(line => line.startsWith(`${name}:`))
  return lines.map(line => line.slice(name.length + 1).trim()).join('\n')
}

/**
 * Takes away everything marked, whatever state it is in: for before and after tests, also those that failed and those
 * whose process was killed. Throws when something resists.
 */
export function sweep(): void {
  for (const mount of markedMounts().reverse()) tryRun('umount', ['--lazy', mount])
  for (let left = markedDevices(); left.length > 0;) {
    // Pools first: a thin of a suspended pool cannot be resumed, and I/O that waits keeps its device open.
    const suspended = left.filter(each => each.attributes.includes('s'))
    for (const each of [...suspended, ...suspended]) tryRun('dmsetup', ['resume', '--noudevsync', each.name])
    // Whatever is stacked on another must go first; the kernel says EBUSY to the others, and the next round has them.
    for (const each of left) tryRun('dmsetup', ['remove', '--noudevsync', each.name])
    const now = markedDevices()
    if (now.length === left.length) for (const each of now) removeByForce(each.name)
    const after = now.length === left.length ? markedDevices() : now
    if (after.length === left.length) throw new Error(`sweep: cannot remove ${after.map(each => each.name).join(', ')}`)
    left = after
  }
  for (const loop of markedLoops()) tryRun('losetup', ['--detach', loop.name])
  const left = snapshotKernelState()
  if (left !== '') throw new Error(`sweep: this resists:\n${left}`)
}

const removeByForce = (name: string) => tryRun('dmsetup', ['remove', '--force', '--noudevsync', name])
