// Child processes that end with the harness, however it ends.
import { spawn } from 'node:child_process'

/** @typedef {(import('node:child_process').IOType | number | null)[]} Stdio */

/**
 * Starts a program that the kernel kills when the harness ends.
 * @param {string} file @param {string[]} args @param {import('node:child_process').SpawnOptions} options
 */
export function spawnBound(file, args, options) {
  return spawn('setpriv', ['--pdeathsig', 'KILL', file, ...args], options)
}

/**
 * Starts a program in a process group of its own, all of which is killed when the harness ends: a shell in the group waits
 * for the end of its standard input, which the harness holds. `files` are removed then.
 * @param {string} file @param {string[]} args
 * @param {{ stdio: Stdio, env?: NodeJS.ProcessEnv }} options stdio[0] is taken
 * @param {string[]} files
 */
export function spawnGroup(file, args, options, files = []) {
  // A background job of a shell without job control would have /dev/null as its input: hence descriptor 9.
  const script =
    'exec 9<&0 </dev/null; n=$1; shift; (read -r _ <&9; r=; i=0; ' +
    'while [ $i -lt $n ]; do rm -rf -- "$1"; shift; i=$((i+1)); done; kill -KILL 0) >/dev/null 2>&1 & ' +
    'while [ $n -gt 0 ]; do shift; n=$((n-1)); done; exec 9<&-; exec "$@"'
  /** @type {Stdio} */
  const stdio = ['pipe', ...options.stdio.slice(1)]
  const words = ['-c', script, 'sh', String(files.length), ...files, file, ...args]
  const child = spawn('/bin/sh', words, { ...options, stdio, detached: true })
  child.stdin?.on('error', () => {})
  return child
}

/** The processes of one guest. */
export function childrenOf() {
  /** @type {{ child: import('node:child_process').ChildProcess, group: boolean }[]} */
  const all = []
  return {
    ended: false,
    add: (child, { group = false } = {}) => all.push({ child, group }),
    /** Kills what still runs. */
    kill() {
      this.ended = true
      for (const { child, group } of all) {
        if (group) killGroup(child)
        else if (isRunning(child)) child.kill('SIGKILL')
      }
    },
    async end() {
      this.kill()
      for (const { child } of all) if (isRunning(child)) await new Promise(done => child.once('exit', done))
    },
  }
}

const isRunning = child => child.pid !== undefined && child.exitCode === null && child.signalCode === null

/** Also after its leader has ended: the others keep memory and files. */
function killGroup(child) {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}
