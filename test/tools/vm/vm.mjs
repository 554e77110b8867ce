// Runs a command in a virtual machine, by default in the fastest that works here:
//
//   node test/tools/vm/vm.mjs [--uml|--qemu] [--udev] [--cheaper] [--keep] [--timeout SECONDS] [--verbose] -- CMD…
//
// `--cheaper` makes the clock and new pages cheap in User-Mode Linux, as in tests (cheaper-calls.c).
//
// Exit status: the command's own (128 + N after signal N); 124 if the guest was ended at the time limit, 125 if it
// died (its kernel console is shown), 130 and the like after a signal to the harness.
import { spawnSync } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { runInGuest } from './run.mjs'

const USAGE =
  'usage: npm run vm -- [--uml|--qemu] [--udev] [--cheaper] [--keep] [--timeout SECONDS] [--verbose] [--] CMD…'

/**
 * @typedef {{ machine?: 'uml' | 'qemu', udev: boolean, cheaper: boolean, keep: boolean, verbose: boolean, timeout: number,
 *   command: string[] }} VmOptions
 */

/**
 * Options end at `--` or at the first word that is none.
 * @param {string[]} argv @returns {VmOptions}
 */
export function parseArguments(argv) {
  /** @type {VmOptions} */
  const options = { udev: false, cheaper: false, keep: false, verbose: false, timeout: 1800, command: [] }
  const words = [...argv]
  while (words.length > 0 && words[0].startsWith('-')) {
    const word = words.shift() ?? ''
    if (word === '--') break
    const [name, inline] = word.split('=', 2)
    if (name === '--udev') options.udev = true
    else if (name === '--uml') options.machine = 'uml'
    else if (name === '--qemu') options.machine = 'qemu'
    else if (name === '--cheaper') options.cheaper = true
    else if (name === '--keep') options.keep = true
    else if (name === '--verbose') options.verbose = true
    else if (name === '--timeout') {
      options.timeout = Number(inline ?? words.shift())
      if (!(options.timeout > 0)) throw new Error(`--timeout wants a number of seconds\n${USAGE}`)
    } else throw new Error(`unknown option ${word}\n${USAGE}`)
  }
  options.command = words
  if (words.length === 0 && !options.keep) throw new Error(`no command\n${USAGE}`)
  return options
}

/** One single argument with a blank in it is a line for the shell, as with ssh. */
export function commandWords(command) {
  return command.length === 1 && /\s/.test(command[0]) ? ['/bin/sh', '-c', command[0]] : command
}

/** @param {string[]} argv @returns {Promise<number>} */
export async function main(argv) {
  const options = parseArguments(argv)
  const command = commandWords(options.command)
  if (process.env.DM_THIN_GUEST === '1') {
    if (command.length === 0) return 0
    const { status, error } = spawnSync(command[0], command.slice(1), { stdio: 'inherit' })
    if (error) throw error
    return status ?? 1
  }
  const { status } = await runInGuest({ ...options, command, cwd: callerDirectory() })
  return status
}

/** npm changes to the package's folder, and leaves the caller's in INIT_CWD. */
function callerDirectory() {
  return process.env.npm_lifecycle_event === 'vm' && process.env.INIT_CWD ? process.env.INIT_CWD : process.cwd()
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  main(process.argv.slice(2)).then(
    status => process.exit(status),
    error => {
      process.stderr.write(`vm: ${error.message}\n`)
      process.exit(2)
    },
  )
}
