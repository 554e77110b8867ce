// How long writes take while their pool grows. A C program writes to new blocks of all active volumes, and this process
// keeps the pool or grows it.
import { execFile } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { GiB, MiB, ThinPool, volumesOf } from 'dm-thin'
import { range } from '../plan.mjs'
import { programs } from '../process.mjs'

const run = promisify(execFile)
const BLOCK_BYTES = 64 * 1024
/** 4096 blocks: as many writes from one growth to the next. */
const STEP_BYTES = 256 * MiB
/** So early that the pool never is full. */
const GROW_BELOW_BYTES = 256 * MiB
const BEFORE_GROWTH_MS = 1000

/** Starts the writer, and gives the latencies in ascending order. */
async function writes({ list, count, first }) {
  const { stdout } = await run(programs.c[0], ['latency', `path=${list}`, `count=${count}`, `first=${first}`], {
    maxBuffer: 64 * MiB,
  })
  return JSON.parse(stdout).write.sort((a, b) => a - b)
}

/** Grows the pool once while `work` runs, which takes seconds, by a step at least, and so that it has `bytes`. */
async function growing(pool, bytes, work) {
  let isDone = false
  const ended = work.finally(() => (isDone = true))
  const { data } = await pool.status()
  await sleep(BEFORE_GROWTH_MS)
  if (isDone) throw new Error('the writes had ended before the pool grew')
  // A keeper has grown it no further than the file system has space; the writes need less.
  await pool.grow({ dataBytes: Math.max(data.totalBytes + STEP_BYTES, bytes) })
  return ended
}

/** A keeper grows the pool while `work` runs. */
async function keeping(pool, work) {
  let growths = 0
  const onGrow = ({ role }) => (growths += role === 'data' ? 1 : 0)
  let fault
  const onError = error => (fault = error)
  const data = { growBelowBytes: GROW_BELOW_BYTES, stepBytes: STEP_BYTES }
  const keeper = await pool.keep({ data, onGrow, onError })
  try {
    const sorted = await work()
    if (growths === 0) throw fault ?? new Error('the pool did not grow')
    return sorted
  } finally {
    await keeper.stop()
  }
}

export const growthTrials = {
  async growth(samples, plan) {
    const files = name => ({ file: join(plan.backing, `dmthinbench-${name}`) })
    const data = { ...files('growth-data'), sizeBytes: GROW_BELOW_BYTES + STEP_BYTES }
    const metadata = { ...files('growth-metadata'), sizeBytes: 64 * MiB }
    const pool = await ThinPool.create({ name: 'dmthinbench-growth', data, metadata, skipBlockZeroing: true })
    const list = join(plan.backing, 'dmthinbench-growth-list')
    const volumes = []
    for (const _ of range(plan.repeats)) volumes.push(await pool.createVolume({ sizeBytes: 16 * GiB }))
    volumesOf(await pool.activateMany(volumes))
    writeFileSync(list, volumes.map(({ path }) => `${path}\n`).join(''))
    const each = plan.count
    const phase = index => writes({ list, count: each, first: index * each })
    const add = (label, sorted, part) =>
      samples.add(`fork-growth-${plan.repeats}${label}`, sorted[Math.floor((sorted.length - 1) * part)])

    const kept = await keeping(pool, () => phase(0))
    add('', kept, 0.999)
    add('@p50', kept, 0.5)
    add('@longest', kept, 1)
    add('@p99.9 of grow()', await growing(pool, 2 * each * BLOCK_BYTES, phase(1)), 0.999)
    const { data: now } = await pool.status()
    await pool.grow({ dataBytes: now.totalBytes + each * BLOCK_BYTES })
    const still = await phase(2)
    add('@p50 without growth', still, 0.5)
    add('@p99.9 without growth', still, 0.999)
    await pool.remove({ deactivate: true })
    for (const file of [list, data.file, metadata.file]) rmSync(file)
  },
}
