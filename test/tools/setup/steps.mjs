// What a person sees while the machine is set up: one line a step, with the time it took.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { resolve } from 'node:path'

export const repository = resolve(import.meta.dirname, '../../..')
const TAIL_LINES = 40

/** A fault with a message for the person at the keyboard: printed as it is, without a stack. */
export class SetupError extends Error {}

/** @param {string} line */
export function say(line) {
  endLine()
  process.stderr.write(`${line}\n`)
}

/** The step whose line is not ended yet. */
let open

/**
 * @template T
 * @param {string} title @param {() => Promise<T>} work @returns {Promise<T>}
 */
export async function step(title, work) {
  const started = Date.now()
  const own = Symbol(title)
  endLine()
  process.stderr.write(`- ${title} ...`)
  open = own
  const dots = setInterval(() => open === own && process.stderr.write('.'), 5000)
  // Another step that runs beside it has a line of its own by now: the title once more then.
  const ended = how => {
    if (open !== own) endLine()
    process.stderr.write(open === own ? ` ${how}\n` : `- ${title}: ${how}\n`)
    open = undefined
  }
  try {
    const result = await work()
    ended(seconds(started))
    return result
  } catch (error) {
    ended(`failed after ${seconds(started)}`)
    throw error
  } finally {
    clearInterval(dots)
  }
}

function endLine() {
  if (open !== undefined) process.stderr.write('\n')
  open = undefined
}

/**
 * Waits for all, also when one fails: no build is left running behind the message that another has failed.
 * @param {Promise<unknown>[]} works
 */
export async function together(works) {
  const failed = (await Promise.allSettled(works)).find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw failed.reason
}

/** @param {number} started */
export const seconds = started => `${((Date.now() - started) / 1000).toFixed(1)} s`

/**
 * Runs a program with its output held back, and shows the end of it only if it fails.
 * @param {string[]} command @param {{ env?: Record<string, string>, hint?: string, cwd?: string }} [options]
 * @returns {Promise<string>} what it printed
 */
export function quietly(command, { env = {}, hint = '', cwd = repository } = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command[0], command.slice(1), {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    child.stdout.on('data', chunk => (text += chunk))
    child.stderr.on('data', chunk => (text += chunk))
    const failed = why => {
      const tail = text.trimEnd().split('\n').slice(-TAIL_LINES).join('\n')
      fail(new SetupError([tail, `"${command.join(' ')}" ${why}.`, hint].filter(Boolean).join('\n')))
    }
    child.on('error', error => failed(`cannot be started (${error.message})`))
    child.on('close', (code, signal) => {
      if (code === 0) done(text)
      else failed(signal ? `was ended by ${signal}` : `ended with status ${code}`)
    })
  })
}

/**
 * Runs a program with the terminal's own input and output.
 * @param {string[]} command @param {Record<string, string>} [env] @returns {Promise<number>} its exit status
 */
export function openly(command, env = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command[0], command.slice(1), {
      cwd: repository,
      env: { ...process.env, ...env },
      stdio: 'inherit',
    })
    // Ctrl-C reaches the child by itself; this process waits for it, and ends as it was told to.
    let told
    const forward = signal => {
      told = signal
      child.kill(signal)
    }
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
    for (const signal of signals) process.on(signal, forward)
    child.on('error', fail)
    child.on('close', (code, signal) => {
      for (const name of signals) process.off(name, forward)
      if (told !== undefined) process.exit(128 + constants.signals[told])
      done(signal ? 1 : (code ?? 1))
    })
  })
}
