// One of the processes of chaos.test.ts: any call of a layer store, in any order, several at once, some given up. It says
// what it asks for and what it was told to be done, and ends with a fault that it has no explanation for.
'use strict'

const { writeSync, writeFileSync } = require('node:fs')
const { constants } = require('node:os')
const { setTimeout: sleep } = require('node:timers/promises')
const { LayerStore } = require('../../dist/entry/store.js')
const { lotsOf } = require('../helpers/random/xorshift.cjs')

/** `name` has no hyphen: what comes before the first one of a key says what the layer's content is. */
const { options, name, seed, operations, image, tight, full } = JSON.parse(process.argv[2])
const AT_ONCE = 4
/** What a call may answer while the disk below the pool and the records has no space. */
const FULL_DISK = ['DM_LAYER_SPACE', 'DM_POOL_FULL', 'DM_STORE_DATABASE']
/** And by the kernel: the loop device answers a write that has no place with EIO, after which a file system is read-only. */
const FULL_DISK_ERRORS = [constants.errno.EIO, constants.errno.ENOSPC, constants.errno.EROFS]
/** What a call may answer where others act at the same time, or where it was given up. */
const EXPLAINED = {
  any: [
    'ABORT_ERR',
    'DM_LAYER_NOT_FOUND',
    'DM_LAYER_STATE',
    'DM_BUSY',
    ...(tight ? ['DM_LAYER_SPACE', 'DM_POOL_FULL'] : []),
    ...(full ? FULL_DISK : []),
  ],
  remove: ['DM_LAYER_HAS_CHILDREN'],
  grow: ['DM_INVALID_ARGUMENT'], // another has grown it further meanwhile
}

const { below, one } = lotsOf(seed)
const say = line => writeSync(1, `${line}\n`)

/** Own layers: their kind, and whether a call is under way. @type {Map<string, { kind: string, busy: boolean }>} */
const own = new Map()
/** Committed layers of all processes, as they were when last looked at. @type {string[]} */
let committed = []
let made = 0

const contentOf = key => key.replace(/-.*/, '').repeat(5000)

/** @param {string} kind @returns {string | undefined} an own layer that no call is at, taken */
function take(...kinds) {
  const free = [...own].filter(([, { kind, busy }]) => !busy && kinds.includes(kind))
  if (free.length === 0) return undefined
  const [key, entry] = one(free)
  entry.busy = true
  return key
}

async function withOwn(kinds, use) {
  const key = take(...kinds)
  if (key === undefined) return
  const entry = own.get(key)
  try {
    await use(key, entry)
  } finally {
    entry.busy = false
  }
}

async function make(store, kind, key, parent, rest) {
  say(`doing make ${key}`)
  const entry = { kind, busy: true }
  own.set(key, entry)
  try {
    await store[kind === 'view' ? 'view' : 'prepare'](key, parent, rest)
    say(`done make ${key}`)
    if (parent === '') {
      await store.withMounted(key, async folder => writeFileSync(`${folder}/content`, contentOf(key)), rest)
      entry.kind = 'filled'
    }
  } catch (fault) {
    own.delete(key) // made and not filled, it can only be left alone
    throw fault
  }
  entry.busy = false
}

const signalled = signal => (signal ? { signal } : {})

/** Each: how often in a hundred, and what. */
const CALLS = {
  root: [5, (store, signal) => make(store, 'active', `${name}${made++}`, '', signalled(signal))],
  prepare: [
    20,
    (store, signal) => {
      if (committed.length === 0) return
      const parent = one(committed)
      const size = below(10) === 0 ? { sizeBytes: options.sizeBytes * 2 } : {}
      return make(store, 'child', `${parent.replace(/-.*/, '')}-${name}${made++}`, parent, {
        ...size,
        ...signalled(signal),
      })
    },
  ],
  view: [
    10,
    (store, signal) => {
      if (committed.length === 0) return
      const parent = one(committed)
      return make(store, 'view', `${parent.replace(/-.*/, '')}-${name}${made++}`, parent, signalled(signal))
    },
  ],
  commit: [
    8,
    (store, signal) =>
      withOwn(['filled', 'child'], async key => {
        const layer = `${key}-layer`
        say(`doing commit ${key} ${layer}`)
        own.delete(key)
        await store.commit(layer, key, signalled(signal))
        say(`done commit ${key} ${layer}`)
        own.set(layer, { kind: 'committed', busy: false })
      }),
  ],
  remove: [
    24,
    store =>
      withOwn(below(4) === 0 ? ['committed'] : ['filled', 'child', 'view'], async key => {
        say(`doing remove ${key}`)
        await store.remove(key)
        say(`done remove ${key}`)
        own.delete(key)
      }),
  ],
  write: [
    6,
    (store, signal) =>
      withOwn(['child'], key =>
        store.withMounted(
          key,
          async folder => writeFileSync(`${folder}/more`, tight ? Buffer.alloc(below(4) * 2 ** 20, 1) : key),
          signalled(signal),
        ),
      ),
  ],
  read: [
    4,
    (store, signal) =>
      committed.length === 0 ? undefined : store.withMounted(one(committed), async () => {}, signalled(signal)),
  ],
  mounts: [4, (store, signal) => withOwn(['child', 'view', 'filled'], key => store.mounts(key, signalled(signal)))],
  update: [4, store => withOwn(['child', 'filled'], key => store.update(key, { setLabels: { a: String(made) } }))],
  usage: [4, (store, signal) => withOwn(['child', 'committed'], key => store.usage(key, signalled(signal)))],
  warm: [2, store => (committed.length === 0 ? undefined : store.warm(one(committed), 1))],
  look: [
    5,
    async store => {
      const found = []
      for await (const each of store.walk()) if (each.kind === 'committed') found.push(each.key)
      committed = found.filter(key => !key.startsWith('sha256:'))
    },
  ],
  status: [2, store => store.status()],
  cleanup: [1, store => store.cleanup()],
  grow: [
    0.3,
    async store => {
      const { pool } = await store.status()
      const dataBytes = pool.data.totalBytes + 2 ** 20
      await store.grow({ dataBytes })
      say(`done grow ${dataBytes}`)
    },
  ],
  import: [0.3, async store => say(`done make ${(await store.importImage(image)).top}`)],
}
const NAMES = Object.keys(CALLS)
const TOTAL = NAMES.reduce((sum, each) => sum + CALLS[each][0], 0)

function chosen() {
  let at = (below(1e6) / 1e6) * TOTAL
  return NAMES.find(each => (at -= CALLS[each][0]) < 0) ?? 'status'
}

async function act(store) {
  const call = chosen()
  const controller = below(10) === 0 ? new AbortController() : undefined
  const abort = controller && sleep(below(20)).then(() => controller.abort())
  try {
    await CALLS[call][1](store, controller?.signal)
  } catch (fault) {
    const isOfFullDisk = full && FULL_DISK_ERRORS.includes(Math.abs(fault.errno))
    if (!isOfFullDisk && ![...EXPLAINED.any, ...(EXPLAINED[call] ?? [])].includes(fault.code)) {
      say(`fault in ${call}: ${fault.stack}`)
      throw fault
    }
  }
  await abort
  say(`operation ${call}`)
}

async function run() {
  const store = await LayerStore.open(options).catch(fault => {
    if (!full || fault.code !== 'DM_STORE_DATABASE') throw fault
  })
  if (store === undefined) return say('end')
  let left = operations
  const worker = async () => {
    while (left-- > 0) await act(store)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  await store.close()
  say('end')
}

run().catch(fault => {
  say(`fault ${fault.stack}`)
  process.exit(1)
})
