// The peers whose disks are files: on a new file system for each trial, in the folder where the files of the pool are.
// A C program does what is measured (see c/clones.c).
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { readPlan } from '../plan.mjs'
import { programs } from '../process.mjs'

const FILE_SYSTEM_BYTES = 3 * 2 ** 30
const makers = {
  xfs: ['mkfs.xfs', '-q', '-f', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
}

const command = (name, ...args) => execFileSync(name, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

/** A new file system on a sparse file, for as long as `body` runs. */
function withFileSystem(kind, directory, body) {
  const file = join(directory, `${kind}-${process.pid}`)
  const folder = `${file}.mounted`
  closeSync(openSync(file, 'w'))
  truncateSync(file, FILE_SYSTEM_BYTES)
  mkdirSync(folder)
  const loop = command('losetup', '--find', '--show', file).trim()
  try {
    command(...makers[kind], loop)
    command('mount', '-t', kind, loop, folder)
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

const { trial, plan } = readPlan(process.argv.slice(2))
const options = ['count', 'threads', 'repeats', 'sectors', 'pieces', 'piece'].map(key => `${key}=${plan[key]}`)
process.stdout.write(
  withFileSystem(plan.kind, plan.backing, directory =>
    command(programs.c[0], `${trial}-clones`, `directory=${directory}`, ...options),
  ),
)
