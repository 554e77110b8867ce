// The pool that all peers work on, made by neither of them: sparse files, loop devices, and one written origin.
// Everything wears the mark, and nothing without it is ever touched.
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MARK = 'dmthinbench-'
const POOL = `${MARK}pool`
const MIB = 2 ** 20
const SECTOR = 512
const METADATA_BYTES = 256 * MIB
const DATA_BYTES = 4096 * MIB
const BLOCK_SECTORS = 128
const LOW_WATER_BLOCKS = 1024
const ORIGIN = { id: 0, sectors: 2097152, writtenMiB: 16 }
const POOL_OPTIONS = '2 skip_block_zeroing error_if_no_space'
const SCRATCH_DISK = process.env.DM_THIN_SCRATCH_DISK ?? '/dev/vda'

function command(name, ...args) {
  return execFileSync(name, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
}

function quietly(name, ...args) {
  try {
    command(name, ...args)
    return true
  } catch {
    return false
  }
}

function lines(text) {
  return text.split('\n').filter(Boolean)
}

function markedDevices() {
  const names = lines(command('dmsetup', 'ls')).map(line => line.split('\t')[0])
  return names.filter(name => name.startsWith(MARK))
}

/** Mapped devices are stacked, so removing goes on for as long as it gets anywhere; a trial may leave thousands. */
function removeMarkedDevices() {
  const remove = names => quietly('dmsetup', 'remove', '--noudevsync', ...names)
  for (let before = Infinity, left = markedDevices(); left.length < before; left = markedDevices()) {
    before = left.length
    for (let at = 0; at < left.length; at += 100) {
      const some = left.slice(at, at + 100)
      if (!remove(some)) for (const name of some) remove([name]) // it stops at the first that is refused
    }
  }
}

/** What a trial that failed has left mounted below a scratch directory, which may be a mount itself. */
function unmountLeft() {
  const folders = lines(readFileSync('/proc/self/mountinfo', 'utf8')).map(line => line.split(' ')[4])
  const left = folders.filter(folder => new RegExp(`/${MARK}[^/]+/.`).test(folder))
  for (const folder of left.reverse()) quietly('umount', folder)
}

function detachLoops() {
  for (const line of lines(command('losetup', '--list', '--noheadings', '--output', 'NAME,BACK-FILE'))) {
    if (line.includes(`/${MARK}`)) quietly('losetup', '--detach', line.split(/\s+/)[0])
  }
}

/** Twice: loop devices may lie on files of a file system that itself lies on one. */
export function cleanUp() {
  for (const _ of ['upper', 'lower']) {
    unmountLeft()
    removeMarkedDevices()
    detachLoops()
  }
}

/** A guest's own scratch disk, and only a blank one: on any other machine that name may be somebody's system. */
function isOwnBlankDisk() {
  if (process.env.DM_THIN_GUEST !== '1' || !existsSync(SCRATCH_DISK)) return false
  const disk = openSync(SCRATCH_DISK, 'r')
  const start = Buffer.alloc(MIB)
  readSync(disk, start, 0, start.length, 0)
  closeSync(disk)
  return start.every(byte => byte === 0)
}

/**
 * Gives a directory for the backing files. "tmp" is the temporary directory, in the guest in memory: what lies below
 * the pool costs all peers the same, and the less it is, the better their difference shows. "disk" is a file system
 * on the guest's scratch disk, where each message also waits for a journal.
 */
export function scratchDirectory(backing) {
  const directory = mkdtempSync(join(tmpdir(), MARK))
  const mounted = backing === 'disk' && isOwnBlankDisk()
  if (mounted) {
    command('mkfs.ext4', '-q', '-F', SCRATCH_DISK)
    command('mount', SCRATCH_DISK, directory)
  }
  const release = () => {
    if (mounted) {
      quietly('umount', directory)
      quietly('wipefs', '--all', SCRATCH_DISK)
      command('dd', 'if=/dev/zero', `of=${SCRATCH_DISK}`, 'bs=1M', 'count=1', 'conv=notrunc', 'status=none')
    }
    rmSync(directory, { recursive: true, force: true })
  }
  return {
    directory,
    release,
    on: mounted ? 'ext4 on a scratch disk' : `${fileSystemOf(directory)} in the temporary directory`,
  }
}

function fileSystemOf(path) {
  return command('stat', '--file-system', '--format', '%T', path)
}

function sparseLoop(path, bytes) {
  rmSync(path, { force: true })
  writeFileSync(path, '')
  truncateSync(path, bytes)
  return command('losetup', '--find', '--show', path)
}

/** "major:minor": without udev there need not be a node under /dev/mapper. */
function numbers(name) {
  return command('dmsetup', 'info', '-c', '--noheadings', '--separator', ':', '-o', 'major,minor', name)
}

/** The origin has data, so that its snapshots share something and its suspension has something to look at. */
function writeOrigin() {
  const name = `${MARK}origin`
  command('dmsetup', 'message', POOL, '0', `create_thin ${ORIGIN.id}`)
  const table = `0 ${ORIGIN.sectors} thin ${numbers(POOL)} ${ORIGIN.id}`
  command('dmsetup', 'create', name, '--table', table, '--noudevsync')
  const to = `of=/dev/dm-${numbers(name).split(':')[1]}`
  command('dd', 'if=/dev/urandom', to, 'bs=1M', `count=${ORIGIN.writtenMiB}`, 'conv=fsync', 'status=none')
  command('dmsetup', 'remove', name, '--noudevsync')
}

/**
 * A fresh pool; whatever a failed trial left in the last one goes with it. It fails writes when it is full, as a store
 * asks of a pool. `storeDirectory` is where trials keep files of their own.
 */
export function makePool(directory, storeDirectory = directory) {
  cleanUp()
  const left = readdirSync(directory).filter(name => name.startsWith(MARK))
  for (const name of left) rmSync(join(directory, name), { recursive: true })
  const metadata = sparseLoop(join(directory, `${MARK}metadata`), METADATA_BYTES)
  const data = sparseLoop(join(directory, `${MARK}data`), DATA_BYTES)
  const length = DATA_BYTES / SECTOR
  const table = `0 ${length} thin-pool ${metadata} ${data} ${BLOCK_SECTORS} ${LOW_WATER_BLOCKS} ${POOL_OPTIONS}`
  command('dmsetup', 'create', POOL, '--table', table, '--noudevsync')
  writeOrigin()
  return { pool: POOL, directory: storeDirectory, backing: directory, origin: ORIGIN.id, sectors: ORIGIN.sectors }
}
