// Scenario                                                  Test
// two processes on one store (missing everywhere)           four threads, two processes and dmsetup use …
// C  ids never given twice, none lost                       the same
// one thin id active twice: refused by us (missing)         the same: looked at all the while
// dmsetup beside it: messages, create, remove               the same
// kill -9 of one of many (missing everywhere)               processes that are killed do not affect …
// kill -9 of the holder of the pool's lock                  the lock of a killed process is released …
// containers with a /run of their own, or none              a process without a writable /run …
import { execFile, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { MiB, ThinPool } from '../../lib/entry/index.js'
import { runChild, startChild } from '../helpers/process/children.js'
import { markedDevices } from '../helpers/kernel/kernel-state.js'
import { withPool } from '../helpers/pool/pools.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { tryRun } from '../helpers/process/spawned.js'
import { dmInfo, thinUsageBy } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const script = path.join(__dirname, 'actor.cjs')
/** What the kernel says where two want one id, one name or one volume; the library hears it too, and goes on. */
const RACES = [/thin: (Creation|Deletion) of .* failed/, /device-mapper: ioctl: Unable to change (name|uuid)/]

interface Told {
  readonly ids: number[]
  readonly active: number[]
  readonly refused: number
  readonly unexpected: string[]
}

interface Actor {
  /** It has opened the pool. */
  readonly ready: Promise<void>
  readonly told: Promise<Told>
  readonly kill: () => void
}

interface Part {
  readonly name: string
  readonly seed: number
  readonly rounds: number
  readonly origin: number
  readonly wanted: readonly number[]
}

type Hear = (message: unknown) => void
type End = (why: string) => void

/** First `ready`, then what it has in the end. */
function listen(connect: (hear: Hear, end: End) => void, kill: () => void): Actor {
  const heard = new EventEmitter()
  const ready = once(heard, 'ready').then(() => {})
  const told = once(heard, 'told').then(([message]) => message as Told)
  for (const each of [ready, told]) each.catch(() => {}) // a victim tells nothing
  connect(
    message => heard.emit(message === 'ready' ? 'ready' : 'told', message),
    why => heard.listenerCount('error') > 0 && heard.emit('error', new Error(why)),
  )
  return { ready, told, kill }
}

function inThread(part: Part): Actor {
  const worker = new Worker(script, { workerData: part })
  return listen(
    (hear, end) => worker.on('message', hear).on('exit', code => end(`a thread ended with ${code}`)),
    () => void worker.terminate(),
  )
}

function inProcess(part: Part): Actor {
  const child = spawn(process.execPath, [script, JSON.stringify(part)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  return listen(
    (hear, end) => {
      lines.on('line', line => hear(JSON.parse(line)))
      child.on('close', (code, signal) => end(`a process ended with ${code ?? signal}`))
    },
    () => void child.kill('SIGKILL'),
  )
}

const run = promisify(execFile)
const dmsetup = (...words: string[]): Promise<string | undefined> =>
  run('dmsetup', words).then(
    ({ stdout }) => stdout,
    () => undefined, // an id is taken, a device is gone: that is what the others are for
  )

/** (pool, id) of each active thin, by dmsetup: twice in the list is active twice. */
async function activeThins(): Promise<string[]> {
  const lines = ((await dmsetup('table', '--target', 'thin')) ?? '').split('\n')
  return lines.flatMap(line => / thin (\d+:\d+ \d+)/.exec(line)?.[1] ?? [])
}

const twice = <T>(list: readonly T[]): T[] => list.filter((each, at) => list.indexOf(each) !== at)

/** By hand, until `over`: ids among those that the library would take next. Gives the ids that it has in the end. */
async function byHand(name: string, origin: number, over: () => boolean): Promise<number[]> {
  const number = dmInfo(name)!.number
  const ids: number[] = []
  for (let turn = 0; !over(); turn++) {
    const id = 8 + ((turn * 7) % 60)
    const words = turn % 2 === 0 ? `create_snap ${id} ${origin}` : `create_thin ${id}`
    if ((await dmsetup('message', name, '0', words)) === undefined) continue
    ids.push(id)
    const device = `${name}-hand-${id}`
    expect(await dmsetup('create', '--noudevsync', device, '--table', `0 2048 thin ${number} ${id}`)).toBeDefined()
    expect(twice(await activeThins())).toEqual([])
    expect(await dmsetup('remove', '--noudevsync', '--retry', device)).toBeDefined()
    if (turn % 3 === 0) expect(await dmsetup('message', name, '0', `delete ${ids.pop()}`)).toBeDefined()
  }
  return ids
}

const WANTED = [1, 2]
const HAND_ORIGIN = 3

/** Volume 0 is everybody's origin, and active; then those that all want, and one for snapshots by hand. */
async function prepare(pool: ThinPool): Promise<Omit<Part, 'seed' | 'rounds'>> {
  for (const id of [0, ...WANTED, HAND_ORIGIN]) await pool.createVolume({ sizeBytes: MiB, id })
  await (await pool.volume(0, { sizeBytes: MiB })).activate()
  return { name: pool.name, origin: 0, wanted: WANTED }
}

const idsOf = async (pool: ThinPool) => (await pool.volumes()).map(volume => volume.id)

test('four threads, two processes and dmsetup use one pool without a duplicate or lost id or a volume active twice', async () => {
  scratch.log.allow(...RACES)
  await withPool({ metadataBytes: 16 * MiB }, async (pool, { name, metadataFile }) => {
    const part = await prepare(pool)
    const start = (seed: number) => (seed < 4 ? inThread : inProcess)({ ...part, seed: seed + 1, rounds: 8 })
    const actors = Array.from({ length: 6 }, (_, seed) => start(seed))
    let over = false
    const hand = byHand(name, HAND_ORIGIN, () => over)
    const told = await Promise.all(actors.map(actor => actor.told)).finally(() => (over = true))
    const handIds = await hand
    expect(told.flatMap(each => each.unexpected)).toEqual([])

    const all = [0, ...WANTED, HAND_ORIGIN, ...handIds, ...told.flatMap(each => each.ids)]
    expect(twice(all)).toEqual([])
    all.sort((a, b) => a - b)
    expect(await idsOf(pool)).toEqual(all)
    const active = [0, ...told.flatMap(each => each.active)].map(id => `${dmInfo(name)!.number} ${id}`)
    expect((await activeThins()).sort()).toEqual(active.sort())
    expect(markedDevices().filter(device => device.attributes.includes('s'))).toEqual([])
    const again = await ThinPool.open(name)
    expect(again.findings).toEqual([])
    await again.remove({ deactivate: true })
    expect(thinUsageBy(metadataFile).map(({ id }) => id)).toEqual(all)
  })
})

test('processes that are killed do not affect the others, and open finds the pool consistent or repairs it', async () => {
  scratch.log.allow(...RACES)
  await withPool({ metadataBytes: 16 * MiB }, async (pool, { name }) => {
    const part = await prepare(pool)
    const staying = [1, 2].map(seed => inThread({ ...part, seed, rounds: 20 }))
    const victims = [3, 4].map(seed => inProcess({ ...part, seed, rounds: 10_000 }))
    for (const [at, victim] of victims.entries()) {
      await victim.ready
      await sleep(40 * at)
      victim.kill()
    }
    const told = await Promise.all(staying.map(actor => actor.told))
    expect(told.flatMap(each => each.unexpected)).toEqual([])
    const again = await ThinPool.open(name)
    expect(again.findings.filter(finding => finding.action === 'none')).toEqual([])
    expect(markedDevices().filter(device => device.attributes !== 'L--w')).toEqual([])
    expect(await idsOf(again)).toEqual(expect.arrayContaining(told.flatMap(each => each.ids)))
    expect(twice(await activeThins())).toEqual([])
    const origin = await again.volume(0)
    await (await origin.snapshot({ activate: true })).destroy()
  })
})

test('the lock of a killed process is released, and a call that waited for it proceeds', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const child = startChild(`
      const { nativePort } = require('./test/tools/runner/modules.cjs')('lib/kernel/native-port.ts')
      await nativePort().lockPool(${JSON.stringify(name)})
      console.log('locked')
      await new Promise(() => setInterval(() => {}, 1000))`)
    await child.saw('locked')
    const isFree = () => tryRun('flock', ['--nonblock', '--shared', `/run/dm-thin/${name}.lock`, 'true']).status === 0
    expect(isFree()).toBe(false)
    let done = false
    const activating = volume.activate().finally(() => (done = true))
    await sleep(100)
    expect(done).toBe(false)
    child.process.kill('SIGKILL')
    await activating
    expect(isFree()).toBe(true)
    expect(dmInfo(volume.name)).toMatchObject({ suspended: false, liveTable: true })
  })
})

test('a process without a writable /run repairs nothing at open, and its threads exclude each other', async () => {
  await withPool(async (pool, { name }) => {
    await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const emptyRun = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs -o ro none /run && exec "$@"', 'sh']
    const told = await runChild(
      `
      const { nativePort } = require('./test/tools/runner/modules.cjs')('lib/kernel/native-port.ts')
      const pool = await dmThin.ThinPool.open(${JSON.stringify(name)})
      const known = await nativePort().deviceStatus({ name: pool.name })
      const origin = { pool: known, ownPrefix: 'DMTHIN-', originUuid: ${JSON.stringify(dmInfo(`${name}-0`)!.uuid)} }
      const ids = Array.from({ length: 24 }, (_, at) => at + 1)
      const made = await Promise.all(ids.map(id => nativePort().snapshot({ ...origin, originId: 0, ids: [id], committed: true })))
      return { findings: pool.findings, suspended: made.map(each => each.suspended), codes: made.flatMap(each => each.items) }`,
      emptyRun,
    )
    // One that finds the origin suspended by another does not suspend it itself, and may come too late.
    const ids = Array.from({ length: 24 }, (_, at) => at + 1)
    expect(told).toEqual({
      value: {
        findings: [{ kind: 'not-checked', device: name, action: 'none' }],
        suspended: ids.map(() => true),
        codes: ids.map(id => ({ id, errno: 0, operation: '' })),
      },
    })
    expect(dmInfo(`${name}-0`)).toMatchObject({ suspended: false })
  })
})
