// A process that works for long holds at its end what it held at its beginning. (test/long/endurance.cjs is what works.)
//
// Scenario                                                  Test
// a million ioctls, memory, descriptors and threads flat    a million ioctls …
// K/D  leaks over many cycles; moby#33603, kata#2031        10 000 times active and inactive …
// stratisd#79 events without a thread per device, for long  a storm of events …
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { MiB } from '../../lib/index.js'
import { BLOCK } from '../helpers/blocks.js'
import { markedDevices, markedLoops } from '../helpers/kernel-state.js'
import { keepFigures } from '../helpers/long.js'
import { withPool } from '../helpers/pools.js'
import { useScratch } from '../helpers/scratch.js'
import { run } from '../helpers/spawned.js'
import { cookieSemaphores } from '../helpers/witness.js'

const scratch = useScratch()
const script = path.join(__dirname, 'endurance.cjs')
const withUdev = process.env['DM_THIN_UDEV'] === '1'

interface Look {
  /** Calls, cycles or changes made so far. */
  readonly done: number
  readonly rss: number
  readonly descriptors: number
  readonly threads: number
}

interface Ended {
  readonly looks: readonly Look[]
  readonly end: Record<string, unknown>
}

/** Runs a scenario to its end. What it says on standard error is for people, and a failure. */
async function endure(scenario: string, options: object, prefix: readonly string[] = []): Promise<Ended> {
  const [command = '', ...args] = [...prefix, process.execPath, script, scenario, JSON.stringify(options)]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { out: '', error: '' }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (said.out += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (said.error += chunk))
  const status = await new Promise(resolve => child.on('close', (code, signal) => resolve(code ?? signal)))
  expect([scenario, status, said.error]).toEqual([scenario, 0, ''])
  const lines = said.out.trim().split('\n')
  const all = lines.map(line => JSON.parse(line) as Look & Record<string, unknown>)
  const looks = all.filter(line => line['end'] === undefined)
  keepFigures(scenario, all)
  return { looks, end: all.find(line => line['end'] === true)! }
}

/**
 * The first look comes after the start, the second after warming up. From then on descriptors and threads are the same
 * and memory grows by no more than `bytes`.
 */
function expectFlat(looks: readonly Look[], bytes: number): void {
  const [, warm, ...later] = looks
  expect(later.length).toBeGreaterThanOrEqual(5)
  const { descriptors, threads } = warm!
  expect(later.map(look => [look.descriptors, look.threads])).toEqual(later.map(() => [descriptors, threads]))
  expect(Math.max(...later.map(look => look.rss)) - warm!.rss).toBeLessThanOrEqual(bytes)
}

/** What the kernel has that others could leak: none of it goes by our mark alone. */
function machine() {
  if (withUdev) run('udevadm', ['settle', '--timeout=3600'])
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

test('the count of a round is right: strace sees no fewer ioctls of the device mapper', async () => {
  await withPool({ metadataBytes: 8 * MiB }, async (_, { reopen }) => {
    const log = scratch.path('strace')
    const prefix = ['strace', '-f', '-qq', '--signal=none', '-e', 'trace=ioctl', '-o', log]
    const { end } = await endure('ioctls', { reopen, rounds: 1, share: 0.01 }, prefix)
    const seen = readFileSync(log, 'utf8').match(/ioctl\(\d+, DM_/g)?.length ?? 0
    expect(end['made']).toBeGreaterThan(1000)
    expect(seen).toBeGreaterThanOrEqual(end['made'] as number)
  })
})

test('a million ioctls of every kind, many at once: memory, descriptors and threads stay as they were', async () => {
  scratch.log.allow(/device-mapper: ioctl: /)
  await withPool({ metadataBytes: 16 * MiB }, async (_, { reopen }) => {
    const before = machine()
    const { looks, end } = await endure('ioctls', { reopen, rounds: 11, share: 1 })
    // Without the first round, which is the warming up.
    expect(end['made'] as number).toBeGreaterThan(1_000_000)
    expect(looks.at(-1)!.done - looks[1]!.done).toBeGreaterThan(1_000_000)
    expectFlat(looks, 16 * MiB) // 16 bytes a call
    expect(machine()).toEqual(before)
  })
})

test('10 000 times active and inactive, the pool down and up a hundred times: nothing is left of any of them', async () => {
  await withPool(async (_, { reopen }) => {
    const before = machine()
    const { looks, end } = await endure('cycles', { reopen, rounds: 10, perRound: 1000 })
    expect(end['made']).toBe(10_000)
    expectFlat([looks[0]!, ...looks], 8 * MiB)
    expect(machine()).toEqual(before)
  })
})

test('a storm of events: whoever reads or listens has heard of all, once, and whoever does not costs no more', async () => {
  scratch.log.allow(/no free data space/, /reached low water mark/, /I\/O error/, /out-of-data-space/)
  const options = { dataBytes: 16 * BLOCK, errorIfNoSpace: true }
  await withPool(options, async (_, { reopen }) => {
    const before = machine()
    const prefix = scratch.name('storm-')
    const { looks, end } = await endure('storm', { reopen, prefix, rounds: 300, perRound: 50, devices: 200 })
    expect(end).toMatchObject({ overflows: 0, wrong: [] })
    const { read, heard, poolTold, waiting } = end as Record<string, Record<string, number>>
    for (const told of [read!, heard!]) {
      expect(told['added']).toBe(told['removed'])
      expect(told['added']).toBeGreaterThanOrEqual(300)
    }
    expect(read).toEqual(heard)
    expect(poolTold!['mode']).toBe(60) // full and emptied, thirty times
    expect(waiting!['others']).toBeLessThan(10_000)
    expectFlat(looks, 16 * MiB)
    expect(machine()).toEqual(before)
  })
})
