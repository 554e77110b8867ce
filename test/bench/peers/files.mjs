// The peers whose disks are files: on a new file system for each trial, in the folder where the files of the pool are, or
// in that folder itself. A C program does what is measured (see c/clones.c), but for programs that people start: cp, qemu-img.
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { range, readPlan, Samples } from '../plan.mjs'
import { programs } from '../process.mjs'

const FILE_SYSTEM_BYTES = 3 * 2 ** 30
const SECTOR = 512
const makers = {
  xfs: ['mkfs.xfs', '-q', '-f', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '-q', '-f', '-m', 'single'],
}
/** Trees that are copied on write a million times do not fit into memory if it is not given back. */
const MOUNTED = { 'most-extents': { btrfs: ['-o', 'discard=sync'] } }

const { trial, plan } = readPlan(process.argv.slice(2))
const command = (name, ...args) => execFileSync(name, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
const attached = file => command('losetup', '--find', '--show', file).trim()

function sparse(file, bytes) {
  closeSync(openSync(file, 'w'))
  truncateSync(file, bytes)
  return file
}

/** What the C program prints. */
function inC(name, given) {
  const options = ['count', 'threads', 'repeats', 'sectors', 'pieces', 'piece'].map(key => `${key}=${plan[key]}`)
  return command(programs.c[0], name, given, ...options)
}

/** A new file system on a sparse file, for as long as `body` runs. */
function withFileSystem(kind, body) {
  const file = sparse(join(plan.backing, `dmthinbench-${kind}`), FILE_SYSTEM_BYTES)
  const folder = `${file}.mounted`
  mkdirSync(folder)
  const loop = attached(file)
  try {
    command(...makers[kind], loop)
    command('mount', '-t', kind, ...(MOUNTED[trial]?.[kind] ?? []), loop, folder)
    try {
      return body(folder)
    } finally {
      command('umount', folder)
    }
  } finally {
    command('losetup', '--detach', loop)
    rmSync(folder, { recursive: true })
    rmSync(file)
  }
}

/** A file with the data of the live disk, for as long as `body` runs. */
async function withImage(body) {
  const image = sparse(join(plan.backing, 'dmthinbench-image'), plan.sectors * SECTOR)
  const fd = openSync(image, 'r+')
  const stride = Math.floor((plan.sectors * SECTOR) / plan.pieces / 65_536) * 65_536
  for (const piece of range(plan.pieces)) writeSync(fd, Buffer.alloc(plan.piece, 0x5a), 0, plan.piece, piece * stride)
  closeSync(fd)
  await body(image)
  rmSync(image)
}

/** Programs started one after the other, one or two for each disk. */
async function started(make, end) {
  const samples = new Samples()
  const disks = []
  for (const index of range(plan.count)) disks.push(await samples.time('fork-1000', () => make(index)))
  if (end) for (const disk of disks) await samples.time('fork-gone', () => end(disk))
  samples.print()
}

const fileOf = index => join(plan.backing, `dmthinbench-disk-${index}`)

const kinds = {
  xfs: () => withFileSystem('xfs', directory => inC(`${trial}-clones`, `directory=${directory}`)),
  btrfs: () => withFileSystem('btrfs', directory => inC(`${trial}-clones`, `directory=${directory}`)),

  /** A loop device without anything between it and the file. */
  loop() {
    const file = sparse(fileOf(0), plan.sectors * SECTOR)
    const loop = attached(file)
    const text = inC(trial, `path=${loop}`)
    command('losetup', '--detach', loop)
    rmSync(file)
    return text
  },

  cp: () =>
    withImage(image =>
      started(
        index => {
          command('cp', '--sparse=always', '--reflink=never', image, fileOf(index))
          const loop = attached(fileOf(index))
          closeSync(openSync(loop, 'r+'))
          return { loop, file: fileOf(index) }
        },
        ({ loop, file }) => {
          command('losetup', '--detach', loop)
          rmSync(file)
        },
      ),
    ),

  /** No block device comes of it: that takes qemu-nbd for each, or the virtual machine itself. */
  qcow2: () =>
    withImage(async image => {
      const create = ['create', '-q', '-f', 'qcow2', '-b', image, '-F', 'raw']
      await started(index => command('qemu-img', ...create, fileOf(index)))
      for (const index of range(plan.count)) rmSync(fileOf(index))
    }),
}

process.stdout.write((await kinds[plan.kind]()) ?? '')
