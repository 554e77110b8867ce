// A small shell that starts programs for the process that runs the tests of a guest. To fork is what costs in User-Mode
// Linux: each page that a process writes to after it has forked costs some 80 us, and jest's has tens of thousands.
// test/helpers/process/spawner.ts talks to it.
'use strict'

const { execFileSync, spawn } = require('node:child_process')
const { closeSync, constants, mkdtempSync, openSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')

/**
 * Starts the shell, and says in DM_THIN_SPAWNER where it is. To be called early, while this process is small. The shell
 * ends with this process, whose end of the pipe is then closed.
 */
function startSpawner() {
  const folder = mkdtempSync(join(tmpdir(), 'dm-thin-spawner-'))
  const [commands, answers] = ['commands', 'answers'].map(name => join(folder, name))
  execFileSync('mkfifo', [commands, answers])
  // Opened for both directions first, since to open a pipe for one of them waits for the other.
  const both = openSync(commands, 'r+')
  const [commandsOut, commandsIn] = [openSync(commands, 'r'), openSync(commands, 'w')]
  const answersOut = openSync(answers, constants.O_RDWR | constants.O_NONBLOCK)
  const answersIn = openSync(answers, 'w')
  const env = { ...process.env, LC_ALL: 'C', LD_PRELOAD: '' }
  const shell = spawn('sh', [], { stdio: [commandsOut, answersIn, 'inherit'], env, detached: true })
  shell.unref()
  for (const each of [both, commandsOut, answersIn]) closeSync(each)
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const place = { pid: process.pid, shell: shell.pid, folder, commands: commandsIn, answers: answersOut }
  process.env.DM_THIN_SPAWNER = JSON.stringify(place)
}

module.exports = { startSpawner }
