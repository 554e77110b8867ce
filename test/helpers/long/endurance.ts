// Runs test/long/endurance.cjs, a process that works for long, and holds what it had at its end against its beginning.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { markedDevices, markedLoops } from '../kernel/kernel-state.js'
import { keepFigures } from './report.js'
import { run } from '../process/spawned.js'
import { cookieSemaphores } from '../kernel/dmsetup.js'

const script = path.join(__dirname, '../../long/endurance.cjs')
const withUdev = process.env['DM_THIN_UDEV'] === '1'

/** What a process holds, at rest. */
export interface Look {
  /** Calls, cycles or changes made so far. */
  readonly done: number
  readonly rss: number
  readonly descriptors: number
  readonly threads: number
}

export interface Ended {
  readonly looks: readonly Look[]
  readonly end: Record<string, unknown>
}

/** Runs a scenario to its end. What it says on standard error is for people, and a failure. */
export async function endure(scenario: string, options: object, prefix: readonly string[] = []): Promise<Ended> {
  const [command = '', ...args] = [...prefix, process.execPath, script, scenario, JSON.stringify(options)]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { out: '', error: '' }
  const heard = () =>
    said.out
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line) as Look & Record<string, unknown>)
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    said.out += chunk
    keepFigures(scenario, heard()) // while it runs: it takes long
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (said.error += chunk))
  const status = await new Promise(resolve => child.on('close', (code, signal) => resolve(code ?? signal)))
  expect([scenario, status, said.error]).toEqual([scenario, 0, ''])
  const all = heard()
  const looks = all.filter(line => line['end'] === undefined)
  return { looks, end: all.find(line => line['end'] === true)! }
}

/**
 * The first look comes after the start, the second after warming up. From then on descriptors and threads are the same
 * and memory grows by no more than `bytes`.
 */
export function expectFlat(looks: readonly Look[], bytes: number): void {
  const [, warm, ...later] = looks
  expect(later.length).toBeGreaterThanOrEqual(5)
  const { descriptors, threads } = warm!
  expect(later.map(look => [look.descriptors, look.threads])).toEqual(later.map(() => [descriptors, threads]))
  expect(Math.max(...later.map(look => look.rss)) - warm!.rss).toBeLessThanOrEqual(bytes)
}

/** What the kernel has that others could leak: none of it goes by our mark alone. */
export function machine() {
  // Of ten thousand cycles udevd has much to catch up with.
  if (withUdev) expect(spawnSync('udevadm', ['settle', '--timeout=3600']).status).toBe(0)
  const blocks = readdirSync('/sys/block').filter(name => /^dm-/.test(name))
  const attached = run('losetup', ['--noheadings', '--output', 'NAME']).trim()
  const locks = existsSync('/run/dm-thin') ? readdirSync('/run/dm-thin') : []
  const nodes = readdirSync('/dev/mapper').filter(name => name !== 'control')
  return {
    devices: markedDevices().map(device => device.name),
    loops: markedLoops().map(loop => loop.file),
    blocks: blocks.length,
    attached: attached === '' ? 0 : attached.split('\n').length,
    semaphores: cookieSemaphores(),
    allSemaphores: readFileSync('/proc/sysvipc/sem', 'utf8').trim().split('\n').length - 1,
    locks: locks.filter(name => name.startsWith('cookie-')),
    nodes: nodes.length,
  }
}
