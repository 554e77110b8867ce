// The whole walkthrough under strace: no process is started but the one formatter. Everything else is system calls of
// the process itself, which is what the library is for.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { completeCalls } from '../../helpers/process/strace.js'

const scratch = useScratch()
const walkthrough = path.join(__dirname, '../../../dist-examples/walkthrough/walkthrough.mjs')
const LIMIT_MS = 600_000
const FORMATTER = 'mkfs.ext4'

/** `12345 execve("/usr/sbin/mkfs.ext4", …) = 0` */
const EXECUTED = /^\d+ +execve(?:at)?\(.*?"([^"]+)".* = 0$/
/** A clone that makes a process and not a thread. */
const STARTED = /^\d+ +(?:fork\(|vfork\(|clone3?\((?!.*CLONE_THREAD))/

test(
  'the walkthrough executes no program but mkfs.ext4',
  () => {
    if (!existsSync(walkthrough)) throw new Error('the examples are not built: npm run build:examples')
    const log = scratch.path('trace')
    const traced = 'trace=execve,execveat,fork,vfork,clone,clone3'
    const options = ['-f', '-qq', '-s', '256', '-e', traced, '-e', 'signal=none', '-o', log]
    const { status, stdout, stderr } = spawnSync('strace', [...options, process.execPath, walkthrough], {
      encoding: 'utf8',
      timeout: LIMIT_MS,
    })
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/hello world, I am a base/)

    const calls = completeCalls(readFileSync(log, 'utf8'))
    // A name that is looked for along PATH is tried in each folder: only the call that succeeds counts.
    const executed = calls.map(call => EXECUTED.exec(call)?.[1]).filter(file => file !== undefined)
    const programs = executed.map(file => path.basename(file))
    expect(programs[0]).toBe(path.basename(process.execPath))
    const others = programs.slice(1)
    expect(others.length).toBeGreaterThan(0)
    expect(others.filter(program => program !== FORMATTER)).toEqual([])
    expect(calls.filter(call => STARTED.test(call))).toHaveLength(others.length)
  },
  LIMIT_MS,
)
