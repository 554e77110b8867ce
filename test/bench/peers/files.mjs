// The peers whose disks are files: on a new file system for each trial, in the folder where the files of the pool are, or
// in that folder itself. A C program does what is measured (see c/clones.c).
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { readPlan } from '../plan.mjs'
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

const kinds = {
  xfs: () => withFileSystem('xfs', directory => inC(`${trial}-clones`, `directory=${directory}`)),
  btrfs: () => withFileSystem('btrfs', directory => inC(`${trial}-clones`, `directory=${directory}`)),

  /** A loop device without anything between it and the file. */
  loop() {
    const file = sparse(join(plan.backing, 'dmthinbench-disk'), plan.sectors * SECTOR)
    const loop = attached(file)
    const text = inC(trial, `path=${loop}`)
    command('losetup', '--detach', loop)
    rmSync(file)
    return text
  },
}

process.stdout.write(kinds[plan.kind]())
