// Independent checks for one device or one pool, by the tools of others.
import { readFileSync } from 'node:fs'
import { run, tryRun } from '../process/spawned.js'

/** The live table as `0 131072 thin-pool 7:1 7:0 128 0 0`, without the blank at the end that some targets print. */
export const dmTable = (name: string): string => run('dmsetup', ['table', name]).trim()

/** The status line, read without committing the pool. */
export const dmStatus = (name: string): string => run('dmsetup', ['status', '--noflush', name]).trim()

export interface DmInfo {
  readonly suspended: boolean
  readonly liveTable: boolean
  readonly inactiveTable: boolean
  readonly readOnly: boolean
  readonly openCount: number
  readonly uuid: string
  /** `253:4` */
  readonly number: string
}

/** What `dmsetup info` says of a device; undefined when there is none of this name. */
export function dmInfo(name: string): DmInfo | undefined {
  const columns = 'attr,suspended,open,major,minor,uuid'
  const { status, stdout } = tryRun('dmsetup', ['info', '-c', '--noheadings', '--separator', ' ', '-o', columns, name])
  if (status !== 0) return undefined
  const [attributes = '', suspended = '', open = '0', major = '', minor = '', uuid = ''] = stdout.trim().split(' ')
  return {
    suspended: suspended !== 'Active',
    liveTable: attributes.includes('L'),
    inactiveTable: attributes.includes('I'),
    readOnly: attributes.endsWith('r'),
    openCount: Number(open),
    uuid,
    number: `${major}:${minor}`,
  }
}

/** The major number of mapped devices, which each kernel gives anew. */
export const dmMajor = (): string => /^ *(\d+) device-mapper$/m.exec(readFileSync('/proc/devices', 'utf8'))![1]!

/** Makes a mapped device behind the library's back, without a uuid if none is given. */
export const dmCreate = (name: string, table: string, uuid = ''): void => {
  run('dmsetup', ['create', '--noudevsync', name, ...(uuid === '' ? [] : ['--uuid', uuid]), '--table', table])
  // udev looks into what others make; until it has, the device counts as open.
  if (process.env['DM_THIN_UDEV'] === '1') run('udevadm', ['settle'])
}

export const dmRemove = (name: string): void => void run('dmsetup', ['remove', '--noudevsync', '--retry', name])

export const dmMessage = (name: string, ...words: string[]): void =>
  void run('dmsetup', ['message', name, '0', ...words])

/** Loads a table that the next resume makes live. */
export const dmLoad = (name: string, table: string): void => void run('dmsetup', ['load', name, '--table', table])

export const dmSuspend = (name: string): void => void run('dmsetup', ['suspend', '--noudevsync', name])

export const dmResume = (name: string): void => void run('dmsetup', ['resume', '--noudevsync', name])

/** Semaphores of udev cookies, libdevmapper's and ours: those whose key begins with its magic number. */
export const cookieSemaphores = (): number =>
  readFileSync('/proc/sysvipc/sem', 'utf8')
    .split('\n')
    .slice(1)
    .map(line => Number(line.trim().split(/\s+/)[0]) >>> 16)
    .filter(magic => magic === 0x0d4d).length

/** Throws with the tool's own words unless the metadata is without fault. */
export const thinCheck = (fileOrDevice: string, ...options: string[]): void => {
  run('thin_check', [...options, fileOrDevice])
}

export interface ThinUsage {
  readonly id: number
  readonly mappedBlocks: number
  readonly exclusiveBlocks: number
  readonly sharedBlocks: number
}

/** What `thin_ls` counts. For a running pool pass its metadata device and `--metadata-snap`. */
export function thinUsageBy(fileOrDevice: string, ...options: string[]): ThinUsage[] {
  const fields = ['--no-headers', '--format', 'DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS']
  const rows = run('thin_ls', [...options, ...fields, fileOrDevice]).split('\n')
  return rows
    .filter(row => row.trim() !== '')
    .map(row => {
      const [id = -1, mappedBlocks = -1, exclusiveBlocks = -1, sharedBlocks = -1] = row.trim().split(/\s+/).map(Number)
      return { id, mappedBlocks, exclusiveBlocks, sharedBlocks }
    })
}
