// Two public calls on one pool, made to overlap at each kernel call of the first: it is held before that call while the second
// runs, until that has ended or waits. By one process, and by two. Each call is the first with each `PAIRED`th of the others,
// or with every other if full. What must hold afterwards, whatever the two
// have done to each other: nothing is suspended, half made, leaked or lost, and a call that was refused says why.
import { memoryKernel, type MemoryKernel } from '../../../lib/entry/testing.js'
import { DmThinError, MiB, ThinPool, volumesOf, type ErrorCode, type ThinVolume } from '../../../lib/entry/index.js'
import { DEVICE_FLAG } from '../../../lib/kernel/port/device-port.js'
import { sampleOf } from '../../helpers/random/sample.js'
import { processOn, type Process } from '../../helpers/process/processes.js'

const NAME = 'images'
const PAIRED = 6
const SIZE = { sizeBytes: MiB }

interface Actor {
  readonly options: ReturnType<MemoryKernel['poolOptions']>
  readonly pool: ThinPool
  /** Active. */
  readonly origin: ThinVolume
  /** Inactive. */
  readonly idle: ThinVolume
}

/** What a call has made, to be looked for afterwards. */
type Made = readonly number[]
type Call = (actor: Actor) => Promise<Made>

const nothing = async (call: Promise<unknown>): Promise<Made> => (await call, [])
const idsOf = async (call: Promise<readonly ThinVolume[]>): Promise<Made> => (await call).map(({ id }) => id)

/** Calls on a pool that runs. */
const RUNNING: Record<string, Call> = {
  create: ({ options }) => nothing(ThinPool.create(options)),
  open: ({ options }) => nothing(ThinPool.open(options)),
  'open by name': ({ options: { name, kernel } }) => nothing(ThinPool.open({ name, kernel })),
  'grow data': ({ pool }) => nothing(pool.grow({ dataBytes: 128 * MiB })),
  'grow metadata': ({ pool }) => nothing(pool.grow({ metadataBytes: 8 * MiB })),
  remove: ({ pool }) => nothing(pool.remove({ deactivate: true })),
  'remove with its files': ({ pool }) => nothing(pool.remove({ deactivate: true, deleteFiles: true })),
  createVolume: ({ pool }) => idsOf(pool.createVolume(SIZE).then(volume => [volume])),
  activate: ({ idle }) => nothing(idle.activate()),
  deactivate: ({ origin }) => nothing(origin.deactivate()),
  snapshot: ({ origin }) => idsOf(origin.snapshot().then(volume => [volume])),
  'snapshot and activate': ({ origin }) => idsOf(origin.snapshot({ activate: true }).then(volume => [volume])),
  fork: ({ pool, origin }) => idsOf(pool.fork(origin, 2)),
  snapshotMany: ({ pool, origin }) => idsOf(pool.snapshotMany(origin, 3).then(volumesOf)),
  activateMany: ({ pool, idle }) => nothing(pool.activateMany([idle]).then(volumesOf)),
  deactivateMany: ({ pool, origin }) => nothing(pool.deactivateMany([origin]).then(volumesOf)),
  delete: ({ idle }) => nothing(idle.delete()),
  destroy: ({ origin }) => nothing(origin.destroy()),
  deleteMany: ({ pool, idle }) => nothing(pool.deleteMany([idle]).then(volumesOf)),
  status: ({ pool }) => nothing(pool.status()),
  'quick check': ({ pool }) => nothing(pool.check({ depth: 'quick' })),
  statusMany: ({ pool, origin }) => nothing(pool.statusMany([origin])),
  volumes: ({ pool }) => nothing(pool.volumes()),
  'volume by id': ({ pool }) => nothing(pool.volume(0)),
  usage: ({ pool }) => nothing(pool.usage()),
  refresh: ({ origin }) => nothing(origin.refresh()),
  setTransactionId: ({ pool }) => nothing(pool.setTransactionId({ currentId: 0n, newId: 1n })),
  reserveMetadataSnapshot: ({ pool }) => nothing(pool.reserveMetadataSnapshot()),
}

type Source = Pick<Actor, 'options'>

/** Calls on the files of a pool at rest. */
const AT_REST: Record<string, (source: Source) => Promise<Made>> = {
  create: ({ options }) => nothing(ThinPool.create(options)),
  'create with overwrite': ({ options }) => nothing(ThinPool.create({ ...options, format: 'overwrite' })),
  'create under another name': ({ options }) =>
    nothing(ThinPool.create({ ...options, name: 'other', format: 'overwrite' })),
  open: ({ options }) => nothing(ThinPool.open(options)),
  'open under another name': ({ options }) => nothing(ThinPool.open({ ...options, name: 'other' })),
  'open and remove': ({ options }) => nothing(ThinPool.open(options).then(pool => pool.remove())),
}

/** How one of the calls may be refused because of the other. Anything else is a fault. */
const REFUSALS: readonly ErrorCode[] = [
  'DM_ALREADY_ACTIVE',
  'DM_BUSY',
  'DM_CLOSED',
  'DM_FILE_ATTACHED',
  'DM_FILE_MISSING',
  'DM_FILE_SIZE',
  'DM_METADATA_NOT_BLANK',
  'DM_METADATA_SNAPSHOT_HELD',
  'DM_NAME_TAKEN',
  'DM_NOT_ACTIVE',
  'DM_NOT_FOUND',
  'DM_POOL_IN_USE',
  'DM_TRANSACTION_MISMATCH',
  'DM_VOLUME_ACTIVE',
  'DM_VOLUME_NOT_FOUND',
]

const KINDS = ['one process', 'two processes'] as const
type Kind = (typeof KINDS)[number]

interface Scene<Who> {
  readonly kernel: MemoryKernel
  readonly first: { readonly process: Process; readonly who: Who }
  readonly second: { readonly process: Process; readonly who: Who }
}

function processesOn(kernel: MemoryKernel, kind: Kind): [Process, Process] {
  const first = processOn(kernel)
  return [first, kind === 'one process' ? first : processOn(kernel)]
}

async function runningScene(kind: Kind): Promise<Scene<Actor>> {
  const kernel = memoryKernel()
  const [first, second] = processesOn(kernel, kind)
  // Overwritten: a look for signatures on blank devices, thousands of times, would be most of the time.
  const pool = await ThinPool.create({ ...kernel.poolOptions(NAME), kernel: first, format: 'overwrite' })
  await (await pool.createVolume(SIZE)).activate()
  await pool.createVolume(SIZE)
  const actor = async (process: Process): Promise<Actor> => {
    const own = await ThinPool.open({ name: NAME, kernel: process })
    const options = { ...kernel.poolOptions(NAME), kernel: process }
    return { options, pool: own, origin: await own.volume(0), idle: await own.volume(1, SIZE) }
  }
  return {
    kernel,
    first: { process: first, who: await actor(first) },
    second: { process: second, who: await actor(second) },
  }
}

async function restingScene(kind: Kind): Promise<Scene<Source>> {
  const kernel = memoryKernel()
  const [first, second] = processesOn(kernel, kind)
  await (await ThinPool.create({ ...kernel.poolOptions(NAME), format: 'overwrite' })).remove()
  const source = (process: Process) => ({ options: { ...kernel.poolOptions(NAME), kernel: process } })
  return {
    kernel,
    first: { process: first, who: source(first) },
    second: { process: second, who: source(second) },
  }
}

interface Overlap {
  readonly results: readonly PromiseSettledResult<Made>[]
  /** Undefined where the first call has fewer steps. */
  readonly step: string | undefined
}

/** Lets the other call go on until it has ended, or waits for the one that is held. */
async function quiet(process: Process, isOver: () => boolean): Promise<void> {
  for (let calls = -1, idle = 0; idle < 8 && !isOver();) {
    await new Promise(setImmediate)
    idle = process.calls.length === calls ? idle + 1 : 0
    calls = process.calls.length
  }
}

async function overlap<Who>(
  { first, second }: Scene<Who>,
  calls: readonly [(who: Who) => Promise<Made>, (who: Who) => Promise<Made>],
  step: number,
): Promise<Overlap> {
  const held = first.process.holdAt(step)
  const running = calls[0](first.who)
  const reached = await Promise.race([held.reached, running.then(noStep, noStep)])
  if (reached === undefined) {
    held.go()
    return { results: await Promise.allSettled([running]), step: undefined }
  }
  let over = false
  const other = calls[1](second.who).finally(() => (over = true))
  other.catch(() => {})
  await quiet(second.process, () => over)
  held.go()
  return { results: await Promise.allSettled([running, other]), step: reached }
}

const noStep = (): undefined => undefined

/** What is wrong afterwards. */
async function faultsOf(kernel: MemoryKernel, results: readonly PromiseSettledResult<Made>[]): Promise<string[]> {
  const faults: string[] = []
  const reasons = results.flatMap(result => (result.status === 'rejected' ? [result.reason as unknown] : []))
  for (const reason of reasons) {
    if (!(reason instanceof DmThinError) || !REFUSALS.includes(reason.code)) faults.push(`refused: ${String(reason)}`)
    // Where the pool is gone, so is what could undo the creation of a snapshot.
    else if (reason.code !== 'DM_NOT_FOUND' && reason.rollback.some(({ errno }) => errno !== 0))
      faults.push(`not undone: ${reason.message}`)
  }
  const { port } = processOn(kernel)
  const left = kernel.left()
  for (const name of left.devices) {
    const { flags } = await port.deviceStatus({ name })
    const has = (flag: number) => (flags & flag) !== 0
    if (has(DEVICE_FLAG.suspended) || has(DEVICE_FLAG.internalSuspend)) faults.push(`${name} is suspended`)
    if (has(DEVICE_FLAG.inactiveTable)) faults.push(`${name} has a table that is not live`)
    if (!has(DEVICE_FLAG.activeTable)) faults.push(`${name} has no table`)
  }
  const pools = left.devices.filter(name => name === NAME || name === 'other')
  if (left.loops.length !== 2 * pools.length) faults.push(`${left.loops.length} loop devices, ${pools.length} pools`)
  for (const { file } of await port.loopList()) if (!left.files.includes(file)) faults.push(`the pool runs on ${file}`)
  for (const name of pools) {
    const pool = await ThinPool.open({ name, kernel: processOn(kernel) })
    const { mode } = await pool.status()
    if (mode !== 'rw') faults.push(`${name} is in mode ${mode}`)
    if (pool.findings.length > 0) faults.push(`found ${JSON.stringify(pool.findings)}`)
    const ids = (await pool.volumes()).map(({ id }) => id)
    const made = results.flatMap(result => (result.status === 'fulfilled' ? result.value : []))
    if (new Set(made).size !== made.length) faults.push(`one id twice: ${made.join(' ')}`)
    if (made.some(id => !ids.includes(id))) faults.push(`lost: made ${made.join(' ')}, there are ${ids.join(' ')}`)
  }
  return faults
}

let overlaps = 0
let pairs = 0

async function allOverlaps<Who>(
  scene: () => Promise<Scene<Who>>,
  firstName: string,
  calls: Record<string, (who: Who) => Promise<Made>>,
): Promise<string[]> {
  const faults: string[] = []
  const first = calls[firstName]!
  const seconds = sampleOf(Object.entries(calls), PAIRED, Object.keys(calls).indexOf(firstName))
  for (const [other, second] of seconds) {
    pairs += 1
    for (let step = 1; ; step++) {
      const stage = await scene()
      const { results, step: name } = await overlap(stage, [first, second], step)
      const where = name === undefined ? 'alone' : `with ${other} before step ${step}, ${name}`
      for (const fault of await faultsOf(stage.kernel, results)) faults.push(`${where}: ${fault}`)
      if (name === undefined) break
      overlaps += 1
    }
  }
  return faults
}

describe.each(KINDS)('calls on a running pool in %s', kind => {
  test.each(Object.keys(RUNNING))('%s leaves the pool consistent if another call overlaps', async first => {
    expect(await allOverlaps(() => runningScene(kind), first, RUNNING)).toEqual([])
  })
})

describe.each(KINDS)('calls on a stopped pool in %s', kind => {
  test.each(Object.keys(AT_REST))('%s leaves the pool consistent if another call overlaps', async first => {
    expect(await allOverlaps(() => restingScene(kind), first, AT_REST)).toEqual([])
  })
})

afterAll(() => console.info(`overlaps: ${pairs} pairs of calls, ${overlaps} steps`))
