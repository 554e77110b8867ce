// One process of test/runtimes/lifecycle.test.ts: node lifecycle.cjs SCENARIO POOL. It uses the library as built and ends
// in the way of its scenario while calls of every kind are under way: activations, snapshots of an active origin, a
// removal that retries on a busy device, questions. The pool has volume 0 (origin, active), 1 (active, to be held
// open) and 2 to 5 (inactive).
'use strict'

const { openSync } = require('node:fs')
const { setTimeout: sleep } = require('node:timers/promises')
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads')
const { ThinPool } = require('../../dist/entry/index.js')

const WORKERS = 2
const ROUNDS = 2
const EXIT_CODE = 7
const WORKER_EXIT_CODE = 4
const SIZE = { sizeBytes: 1024 * 1024 }

const [scenario, name] = isMainThread ? process.argv.slice(2) : workerData

/** Begins calls of every kind and gives their promises; nobody waits for them here. */
async function begin() {
  const pool = await ThinPool.open({ name, repair: false })
  const origin = await pool.volume(0)
  const busy = await pool.volume(1)
  openSync(busy.path, 'r')
  const volumes = []
  for (let id = 2; id < 6; id++) volumes.push(await volumeOf(pool, id))
  const calls = [busy.deactivate({ timeoutMs: 3_600_000 })]
  for (const volume of volumes) calls.push(volume.activate(), origin.snapshot(), pool.status())
  for (const call of calls) call.catch(() => {})
  return { pool, origin, calls }
}

/** Others snapshot meanwhile, and the metadata changes faster than it can be read. */
async function volumeOf(pool, id) {
  for (;;) {
    try {
      return await pool.volume(id, SIZE)
    } catch (fault) {
      if (fault.code !== 'DM_METADATA_BUSY') throw fault
    }
  }
}

const worker = (what = scenario) => new Worker(__filename, { workerData: [what, name] })
const said = source => new Promise(resolve => source.once('message', resolve))
const exited = source => new Promise(resolve => source.once('exit', resolve))

const SCENARIOS = {
  /** The event loop runs empty: what is pending is finished first, and what is idle holds nobody. */
  async natural() {
    const pool = await ThinPool.open({ name, repair: false })
    for (let id = 2; id < 6; id++) {
      const volume = await pool.volume(id, SIZE)
      void volume.activate().then(() => process.stdout.write('.'))
    }
  },
  async exit() {
    await begin()
    await sleep(50)
    process.exit(EXIT_CODE)
  },
  async throw() {
    await begin()
    setImmediate(() => {
      throw new Error('meant to be uncaught')
    })
  },
  /** A worker ends itself, and the process goes on to its natural end. */
  async 'worker-exit'() {
    const codes = []
    for (let round = 0; round < ROUNDS; round++) codes.push(await exited(worker('in-worker-exit')))
    process.stdout.write(codes.every(code => code === WORKER_EXIT_CODE) ? 'finished' : `codes ${codes.join(' ')}`)
  },
  async 'in-worker-exit'() {
    await begin()
    process.exit(WORKER_EXIT_CODE)
  },
  /** Workers are terminated at different moments of their calls. */
  async terminate() {
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(
        Array.from({ length: WORKERS }, async (_, index) => {
          const started = worker('in-worker-busy')
          await said(started)
          await sleep(index * 7 + round * 3)
          await started.terminate()
        }),
      )
    }
    process.stdout.write('finished')
  },
  async 'in-worker-busy'() {
    const { pool } = await begin()
    parentPort.postMessage('begun')
    for (;;) await Promise.all(Array.from({ length: 16 }, () => pool.status().catch(() => {})))
  },
  async 'exit-with-workers'() {
    await Promise.all(Array.from({ length: WORKERS }, () => said(worker('in-worker-busy'))))
    await begin()
    process.exit(EXIT_CODE)
  },
  /** The origin cannot be suspended, since I/O of it is stuck below the pool: a call that waits in the kernel. */
  async 'blocked-exit'() {
    await block()
    process.exit(EXIT_CODE)
  },
  async 'blocked-terminate'() {
    const started = worker('in-worker-blocked')
    await said(started)
    await started.terminate()
    process.stdout.write('finished')
  },
  async 'in-worker-blocked'() {
    await block()
    parentPort.postMessage('begun')
    await new Promise(() => setInterval(() => {}, 1000))
  },
}

async function block() {
  const pool = await ThinPool.open({ name, repair: false })
  const origin = await pool.volume(0)
  origin.snapshot({ id: 100 }).catch(() => {})
  await sleep(200)
}

SCENARIOS[scenario]()
