// The whole walkthrough under strace: no process is started but the one formatter. Everything else is system calls of
// the process itself, which is what the library is for.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()
const walkthrough = path.join(__dirname, '../../../dist-examples/walkthrough/walkthrough.mjs')
const LIMIT_MS = 600_000
const FORMATTER = 'mkfs.ext4'

/** `12345 execve("/usr/sbin/mkfs.ext4", …) = 0`, and the second half of a call that strace shows in two. */
const EXECUTED = /^(\d+) +execve(?:at)?\(.*?"([^"]+)"/
/** A clone that makes a process and not a thread. */
const STARTED = /^\d+ +(?:fork\(|vfork\(|clone3?\((?!.*CLONE_THREAD))/

test(
  'the walkthrough executes no program but mkfs.ext4',
  () => {
    if (!existsSync(walkthrough)) throw new Error('the examples are not built: npm run build:examples')
    const log = scratch.path('trace')
    const calls = 'trace=execve,execveat,fork,vfork,clone,clone3'
    const options = ['-f', '-qq', '-s', '256', '-e', calls, '-e', 'signal=none', '-o', log]
    const { status, stdout, stderr } = spawnSync('strace', [...options, process.execPath, walkthrough], {
      encoding: 'utf8',
      timeout: LIMIT_MS,
    })
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/hello world, I am a base/)

    const lines = readFileSync(log, 'utf8').split('\n')
    // A name that is looked for along PATH is tried in each folder: those that are not there answer ENOENT.
    const executed = lines.filter(line => !line.includes('ENOENT')).map(line => EXECUTED.exec(line)?.[2])
    const programs = executed.filter(file => file !== undefined).map(file => path.basename(file))
    expect(programs[0]).toBe(path.basename(process.execPath))
    const others = programs.slice(1)
    expect(others.length).toBeGreaterThan(0)
    expect(others.filter(program => program !== FORMATTER)).toEqual([])
    expect(lines.filter(line => STARTED.test(line))).toHaveLength(others.length)
  },
  LIMIT_MS,
)
