// The end of processes and workers with calls in flight, on the real binaries of each supported Node: nothing crashes,
// nothing hangs, nothing is left suspended. (test/runtimes/lifecycle.cjs is what they run.)
import { spawn, spawnSync, type ChildProcess, type SpawnSyncReturns } from 'node:child_process'
import { copyFileSync, existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { LoopDevice, MiB, ThinPool } from '../../lib/entry/index.js'
import { MARK, markedDevices, markedLoops } from '../helpers/kernel/kernel-state.js'
import { takeDown, withPool } from '../helpers/pool/pools.js'
import { RUNTIMES, runtimePath } from '../helpers/process/runtimes.js'
import { markedName, useScratch } from '../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmRemove, dmResume, dmSuspend } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const script = path.join(__dirname, 'lifecycle.cjs')
/** No test of how fast it is: what has not ended by then never ends. */
const LIMIT_MS = 100_000
const VOLUMES = 6
const SIZE_BYTES = MiB
const ENDS_BADLY = /terminate called|FATAL ERROR|Assertion|Segmentation|AddressSanitizer|runtime error|corrupt|Aborted/

/** A copy beside the test's other files: the guest reads the work tree anew at each start, and 100 MB take seconds. */
function runtime(version: string): string {
  const copy = scratch.path(version)
  if (existsSync(copy)) return copy
  copyFileSync(runtimePath(version), copy)
  return copy
}

interface Ended {
  readonly code: number
  readonly stdout?: string
}

/** Nothing is said at the end but the exception of the scenario that throws one. */
function expectEnd(where: string, ended: Pick<SpawnSyncReturns<string>, 'status' | 'signal' | 'stderr'>, code: number) {
  const quiet: unknown = where.endsWith('throw') ? expect.stringContaining('meant to be uncaught') : ''
  expect([where, ended]).toEqual([where, { status: code, signal: null, stderr: quiet }])
  expect(ended.stderr).not.toMatch(ENDS_BADLY)
}

/** Runs a scenario to its end, and looks at how it ended and at what it left. */
async function runScenario(version: string, scenario: string, pool: string, expected: Ended): Promise<void> {
  const { status, signal, stdout, stderr } = spawnSync(runtime(version), [script, scenario, pool], {
    encoding: 'utf8',
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
    env: { ...process.env },
  })
  const where = `${version} ${scenario}`
  expectEnd(where, { status, signal, stderr }, expected.code)
  if (expected.stdout !== undefined) expect([where, stdout]).toEqual([where, expected.stdout])
  // Third letter of the attributes: `s` for suspended.
  expect([where, markedDevices().filter(each => /^..s/.test(each.attributes))]).toEqual([where, []])
  // Nothing is left half-made either: exit waits until activations are through or undone.
  const opened = await ThinPool.open(pool)
  expect([where, opened.findings]).toEqual([where, []])
  expect((await opened.status()).mode).toBe('rw')
}

/** As the scenario found it: 0 and 1 active, 2 to 5 not, no snapshots. */
async function reset(name: string): Promise<void> {
  const pool = await ThinPool.open(name)
  const volumes = (await pool.volumes()).filter(volume => volume.id > 1)
  await pool.deactivateMany(volumes.filter(volume => volume.active))
  await Promise.all(volumes.filter(volume => volume.id >= VOLUMES).map(volume => volume.delete()))
}

test.each(RUNTIMES)('%s ends without a crash on exit, throw or terminate during calls', async version => {
  // Two workers want the same free id: the kernel logs it, and the slower one takes another.
  scratch.log.allow(/Creation of new snapshot \d+ of device 0 failed/)
  await withPool(async pool => {
    for (let id = 0; id < VOLUMES; id++) {
      const volume = await pool.createVolume({ sizeBytes: SIZE_BYTES, id })
      if (id < 2) await volume.activate()
    }
    const scenarios: [string, Ended][] = [
      ['natural', { code: 0, stdout: '....' }],
      ['exit', { code: 7 }],
      ['throw', { code: 1 }],
      ['worker-exit', { code: 0, stdout: 'finished' }],
      ['terminate', { code: 0, stdout: 'finished' }],
      ['exit-with-workers', { code: 7 }],
    ]
    for (const [scenario, expected] of scenarios) {
      await runScenario(version, scenario, pool.name, expected)
      await reset(pool.name)
    }
  })
})

test.each(RUNTIMES)('%s ends without a crash if workers are terminated at any moment of many calls', version => {
  const { status, signal, stdout, stderr } = spawnSync(runtime(version), [path.join(__dirname, 'storm.cjs'), '3'], {
    encoding: 'utf8',
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
    env: { ...process.env },
  })
  expectEnd(`${version} storm`, { status, signal, stderr }, 0)
  expect(stdout).toBe('finished')
})

describe('a suspend that waits in the kernel', () => {
  const below = () => markedDevices().find(each => each.name.startsWith(`${MARK}below`))?.name ?? ''
  let pool: ThinPool
  let writer: ChildProcess

  /** The origin's write is stuck in a suspended device below the pool, and so is the suspend of the origin. */
  async function makeStuck(): Promise<void> {
    const file = scratch.path(markedName('data'))
    const made = await open(file, 'w')
    await made.truncate(64 * MiB)
    await made.close()
    const loop = await LoopDevice.attach({ file })
    const name = markedName('below')
    dmCreate(name, `0 131072 linear ${loop.path} 0`)
    pool = await ThinPool.create({
      name: markedName('stuck'),
      data: { device: `/dev/dm-${dmInfo(name)?.number.split(':')[1]}` }, // without udev there is no other node
      metadata: { file: scratch.path(markedName('metadata')), sizeBytes: 4 * MiB },
    })
    const origin = await (await pool.createVolume({ sizeBytes: SIZE_BYTES, id: 0 })).activate()
    dmSuspend(name)
    writer = spawn('dd', ['if=/dev/zero', `of=${origin.path}`, 'bs=64k', 'count=1', 'oflag=direct'], {
      stdio: 'ignore',
    })
    while (dmInfo(origin.name)?.openCount === 0) await new Promise(resolve => setImmediate(resolve))
  }

  /** Resumes the write, waits for it, and removes all devices. */
  async function unblockAndRemove(): Promise<void> {
    dmResume(below())
    await new Promise(resolve => (writer.exitCode === null ? writer.once('close', resolve) : resolve(undefined)))
    expect(writer.exitCode).toBe(0)
    expect(dmInfo(`${pool.name}-0`)?.suspended).toBe(false)
    expect((await pool.volumes()).map(volume => volume.id)).toEqual([0])
    await takeDown(pool.name)
    dmRemove(below())
    for (const loop of await LoopDevice.list()) {
      if (markedLoops().some(each => each.name === loop.path)) await loop.detach()
    }
  }

  test('is aborted by process.exit() and terminate() on each Node', async () => {
    await makeStuck()
    for (const version of RUNTIMES) {
      await runBlocked(version, 'blocked-exit', 7)
      await runBlocked(version, 'blocked-terminate', 0)
    }
    await unblockAndRemove()
  })

  async function runBlocked(version: string, scenario: string, code: number): Promise<void> {
    const { status, signal, stderr } = spawnSync(runtime(version), [script, scenario, pool.name], {
      encoding: 'utf8',
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
      env: { ...process.env },
    })
    const where = `${version} ${scenario}`
    expectEnd(where, { status, signal, stderr }, code)
    expect([where, dmInfo(`${pool.name}-0`)?.suspended]).toEqual([where, false])
  }
})
