// Each operation of the library ROUNDS times, between two marks that a trace of system calls shows: see
// ../system-calls.mjs.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GiB, MiB, ThinPool, volumesOf } from 'dm-thin'
import { LayerStore } from 'dm-thin/store'
import { MARK, ROUNDS } from '../system-calls.mjs'
import { range } from '../plan.mjs'

const WARM_UP = 8
const directory = mkdtempSync(join(tmpdir(), 'dm-thin-calls-'))
const name = label => `calls-${process.pid}-${label}`
const files = label => ({ file: join(directory, label), sizeBytes: 2 * GiB })
const serially = async (list, act) => {
  const made = []
  for (const each of list) made.push(await act(each))
  return made
}

/** Runs `act` between the marks of an operation. */
async function marked(operation, act) {
  existsSync(`${MARK}/begin/${operation}`)
  const result = await act()
  existsSync(`${MARK}/end/${operation}`)
  return result
}

/** One call for each of `list`; the first of them are not counted. */
async function counted(operation, list, act) {
  const early = await serially(list.slice(0, -ROUNDS), act)
  return [...early, ...(await marked(operation, () => serially(list.slice(-ROUNDS), act)))]
}

async function poolOperations() {
  const metadata = { ...files('metadata'), sizeBytes: 16 * MiB }
  const pool = await ThinPool.create({ name: name('pool'), data: files('data'), metadata })
  const origin = await pool.createVolume({ sizeBytes: 64 * MiB })
  const rounds = range(WARM_UP + ROUNDS)
  const volumes = await counted('snapshot of an inactive volume', rounds, () => origin.snapshot())
  await counted('activate', volumes, volume => volume.activate())
  await counted('status of a volume', volumes, volume => volume.status())
  await counted('refresh of a volume', volumes, volume => volume.refresh())
  await counted('status of a pool', rounds, () => pool.status())
  await counted('snapshot of an active volume', volumes, volume => volume.snapshot().then(made => made.delete()))
  await counted('deactivate', volumes, volume => volume.deactivate())
  const many = volumes.slice(-ROUNDS)
  volumesOf(await pool.activateMany(many))
  volumesOf(await pool.deactivateMany(many))
  volumesOf(await marked('activateMany', () => pool.activateMany(many)))
  volumesOf(await marked('statusMany', () => pool.statusMany(many)))
  await counted('open with 32 active volumes', rounds, () => ThinPool.open(pool.name).then(opened => opened.close()))
  volumesOf(await marked('deactivateMany', () => pool.deactivateMany(many)))
  await counted('delete', volumes, volume => volume.delete())
  const ready = await counted('snapshot and activate', rounds, () => origin.snapshot({ activate: true }))
  await counted('destroy', ready, volume => volume.destroy())
  await origin.activate()
  const early = await pool.fork(origin, WARM_UP)
  const forks = [...early, ...(await marked('fork', () => pool.fork(origin, ROUNDS)))]
  volumesOf(await pool.deactivateMany(forks))
  volumesOf(await pool.deleteMany(forks))
  await pool.remove({ deactivate: true })
}

async function storeOperations() {
  const pool = {
    name: name('store'),
    data: files('store-data'),
    metadata: { ...files('store-metadata'), sizeBytes: 16 * MiB },
  }
  const store = await LayerStore.open({ directory: join(directory, 'store'), pool, sizeBytes: 64 * MiB })
  await store.prepare('base', '')
  await store.commit('parent', 'base')
  const keys = range(WARM_UP + ROUNDS).map(index => `layer-${index}`)
  await counted('store.prepare', keys, key => store.prepare(key, 'parent'))
  await store.close()
  await (await ThinPool.open({ name: name('store') })).remove({ deactivate: true })
}

try {
  await poolOperations()
  await storeOperations()
} finally {
  rmSync(directory, { recursive: true, force: true })
}
