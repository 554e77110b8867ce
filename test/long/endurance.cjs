// One process of test/long/{cycles,ioctls,storm}.test.ts: node endurance.cjs SCENARIO OPTIONS. It works with the library as built,
// and prints a line of JSON each time it has looked at what it holds, at rest. A process of its own: nobody else's
// memory is in the figures. It does no I/O of Node's own kind, which would start threads of Node's.
'use strict'

const { closeSync, constants, fsyncSync, openSync, readdirSync, readFileSync, writeSync } = require('node:fs')
const { setTimeout: sleep } = require('node:timers/promises')
const { setFlagsFromString } = require('node:v8')
const { runInNewContext } = require('node:vm')
const { ThinPool, volumesOf, watchDevices } = require('../../dist/entry/index.js')
const { DeviceMapper } = require('../../dist/entry/kernel.js')

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc')

const [scenario, text] = process.argv.slice(2)
const options = JSON.parse(text)
const range = count => Array.from({ length: count }, (_, at) => at)
const say = value => writeSync(1, `${JSON.stringify(value)}\n`)

const threadsNow = () => Number(/^Threads:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1])
/** The library's threads end after ten idle seconds; a minute is for machines that are busy. */
const REST_LIMIT_MS = 60_000
let threadsAtRest = threadsNow()

async function rest() {
  const end = Date.now() + REST_LIMIT_MS
  while (threadsNow() !== threadsAtRest && Date.now() < end) await sleep(200)
}

async function look(done) {
  await rest()
  for (let round = 0; round < 3; round++) collectGarbage()
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage()
  const slab = Number(/^Slab:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))[1]) * 1024
  // The descriptor of the listing itself is one of them, each time.
  const descriptors = readdirSync('/proc/self/fd').length
  say({ done, rss, heapTotal, heapUsed, external, descriptors, threads: threadsNow(), slab })
}

async function inGroups(items, size, act) {
  for (let first = 0; first < items.length; first += size) await Promise.all(items.slice(first, first + size).map(act))
}

// A million calls of the kernel. Each step says how many it has surely made; strace confirms it in a test of its own.
const VOLUMES = 100
const SIZE = { sizeBytes: 1024 * 1024 }

const steps = {
  /** A table status for each volume. */
  async statusOfAll({ pool, volumes }, times) {
    for (let time = 0; time < times; time++) {
      const results = await pool.statusMany(volumes)
      if (results.some(each => each.status !== 'fulfilled')) throw new Error('a status was refused')
    }
    return times * volumes.length
  },
  /** The same one by one, sixty at once. */
  async status({ volumes }, times) {
    await inGroups(range(times), 60, at => volumes[at % volumes.length].status())
    return times
  },
  /** Table and status of the pool. */
  async poolStatus({ pool }, times) {
    await inGroups(range(times), 20, () => pool.status())
    return 2 * times
  },
  async list({ dm, prefix }, times) {
    await inGroups(range(times), 8, async () => {
      const listed = await dm.listDevices({ namePrefix: prefix })
      if (listed.length !== VOLUMES + 1) throw new Error(`${listed.length} devices`)
    })
    return times
  },
  /** Messages: a volume and a snapshot of it, made and deleted. */
  async messages({ pool }, times) {
    await inGroups(range(times), 20, async () => {
      const volume = await pool.createVolume(SIZE)
      const snapshot = await volume.snapshot()
      await snapshot.delete()
      await volume.delete()
    })
    return 4 * times
  },
  /** Create, load, resume and remove, half of the volumes at once. */
  async activations({ pool, volumes }, times) {
    const half = volumes.slice(0, VOLUMES / 2)
    for (let time = 0; time < times; time++) {
      volumesOf(await pool.deactivateMany(half))
      volumesOf(await pool.activateMany(half))
    }
    return 4 * times * half.length
  },
  /** Suspend, messages, resume of an active volume. */
  async snapshots({ pool, volumes }, times) {
    for (let time = 0; time < times; time++) {
      const made = volumesOf(await pool.snapshotMany(volumes[time % VOLUMES], 8))
      await Promise.all(made.map(each => each.delete()))
    }
    return times * 18
  },
  /** What is refused has an error object, and a reason looked for. */
  async refusals({ dm, prefix }, times) {
    const refused = { DM_NOT_FOUND: 0 }
    await inGroups(range(times), 20, () => dm.status(`${prefix}-none`).catch(({ code }) => (refused[code] += 1)))
    if (refused.DM_NOT_FOUND !== times) throw new Error(JSON.stringify(refused))
    return times
  },
}

/** How often each step is taken in a round of about a hundred thousand; in the order of what they cost. */
const ROUND = {
  statusOfAll: 680,
  status: 12_000,
  poolStatus: 3000,
  list: 1000,
  messages: 1000,
  activations: 20,
  snapshots: 100,
  refusals: 5000,
}

async function ioctls({ reopen, rounds, share }) {
  const pool = await ThinPool.open(reopen)
  const dm = await DeviceMapper.open()
  const volumes = await Promise.all(range(VOLUMES).map(() => pool.createVolume(SIZE)))
  volumesOf(await pool.activateMany(volumes))
  const stage = { pool, dm, volumes, prefix: pool.name }
  let made = 0
  if (share === 1) await look(made)
  for (let round = 0; round < rounds; round++) {
    for (const [name, times] of Object.entries(ROUND)) made += await steps[name](stage, Math.ceil(times * share))
    if (share === 1) await look(made)
  }
  volumesOf(await pool.deactivateMany(volumes))
  await pool.close()
  say({ end: true, made })
}

// One volume, activated and deactivated again and again; now and then its pool goes, with its loop devices, and comes.
async function cycles({ reopen, rounds, perRound }) {
  let pool = await ThinPool.open(reopen)
  const { id } = await pool.createVolume(SIZE)
  let made = 0
  for (let round = 0; round <= rounds; round++) {
    if (round > 0) await look(made)
    if (round === rounds) break
    for (let part = 0; part < 10; part++) {
      const volume = await pool.volume(id, SIZE)
      for (let left = perRound / 10; left > 0; left--) {
        await volume.activate()
        await volume.deactivate()
        made += 1
      }
      await pool.remove()
      pool = await ThinPool.open(reopen)
    }
  }
  await pool.close()
  say({ end: true, made })
}

// A storm of events, with one that reads them, one that listens, and one that never reads.
/** What must be so at any time if nothing is told twice and nothing is missed. By numbers: names may be given anew. */
class Books {
  present = new Map()
  told = { added: 0, removed: 0, renamed: 0, event: 0 }
  wrong = []

  enter({ type, name, device }) {
    this.told[type] += 1
    if (this.present.has(device) === (type === 'added')) this.wrong.push(`${type} ${name} ${device}`)
    if (type === 'removed') this.present.delete(device)
    else this.present.set(device, name)
  }
}

async function storm({ reopen, prefix, rounds, perRound, devices }) {
  const pool = await ThinPool.open(reopen)
  const dm = await DeviceMapper.open()
  const [reader, listener, unread] = range(3).map(() => watchDevices({ namePrefix: prefix }))
  const ofPool = pool.events()
  const [read, heard] = [new Books(), new Books()]
  const poolTold = { mode: 0, others: 0 }
  ofPool.on('change', ({ type }) => (poolTold[type === 'mode' ? type : 'others'] += 1))
  listener.on('change', event => heard.enter(event))
  await Promise.all([reader, listener, unread, ofPool].map(watch => watch.ready))
  let overflows = 0
  const reading = (async () => {
    for await (const event of reader) {
      if (event.type === 'overflow') overflows += 1
      else read.enter(event)
    }
  })()
  const last = `${prefix}last`
  const toldOf = async isSo => {
    while (![read, heard].every(books => isSo(books))) await sleep(5)
  }
  const thin = devices / 10
  threadsAtRest += 1 // the one that waits for events, however many listen
  let made = 0
  for (let round = 0; round < rounds; round++) {
    if (round % perRound === 0) await look(made)
    const names = range(devices).map(at => `${prefix}${round}-${at}`)
    await Promise.all(names.map(name => dm.create({ name })))
    await Promise.all(names.slice(0, thin).map(name => dm.rename(name, `${name}-next`)))
    for (const [at, name] of names.entries()) if (at < thin) names[at] = `${name}-next`
    await Promise.all(names.map(name => dm.remove(name, { timeoutMs: 10_000 })))
    made += 2 * devices + thin
    if (round % 10 === 0) await fillOnce(pool, poolTold)
    // Whoever has heard of this one has heard of all before it.
    await dm.create({ name: last })
    await toldOf(({ present }) => [...present.values()].includes(last))
    await dm.remove(last, { timeoutMs: 10_000 })
    await toldOf(({ present }) => present.size === 0)
  }
  await look(made)
  const waiting = { overflow: 0, others: 0 }
  unread.close()
  for await (const { type } of unread) waiting[type === 'overflow' ? 'overflow' : 'others'] += 1
  for (const watch of [reader, listener, ofPool]) watch.close()
  await reading
  await pool.close()
  say({
    end: true,
    made,
    overflows,
    read: read.told,
    heard: heard.told,
    poolTold,
    waiting,
    wrong: [...read.wrong, ...heard.wrong],
  })
}

/** A pool that runs full and is emptied is two events of its own. */
async function fillOnce(pool, told) {
  const before = told.mode
  const toldTimes = async times => {
    while (told.mode < before + times) await sleep(5)
  }
  const { data } = await pool.status()
  const volume = await (await pool.createVolume({ sizeBytes: 2 * data.totalBytes })).activate()
  const fd = openSync(volume.path, constants.O_WRONLY)
  try {
    const block = Buffer.alloc(pool.dataBlockBytes)
    for (let at = 0; at <= data.totalBlocks; at++) writeSync(fd, block, 0, block.length, at * block.length)
    fsyncSync(fd)
  } catch ({ code }) {
    if (code !== 'ENOSPC' && code !== 'EIO') throw new Error(code)
  } finally {
    closeSync(fd)
  }
  await toldTimes(1)
  await volume.destroy()
  await toldTimes(2)
}

const SCENARIOS = { ioctls, cycles, storm }
SCENARIOS[scenario](options).catch(fault => {
  process.stderr.write(`${fault.stack}\n`)
  process.exitCode = 1
})
