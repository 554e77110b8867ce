// The store on which calls of two processes overlap: as it is before each two calls, and what may be wrong after them.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { MiB } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { openDatabase } from '../../../lib/store/records/sqlite.js'
import { markedDevices } from '../kernel/kernel-state.js'
import type { Scratch } from '../kernel/scratch.js'
import { run } from '../process/spawned.js'
import { makeImage } from '../store/oci-image.js'
import { endStore, keysOf, storeFiles, thinIdsBy } from '../store/stores.js'
import { callsOf, type Ended } from './calls.js'
import type { Processes, Scene } from './overlap.js'
import { sysfsDevices } from './sysfs.js'

export const ON_STORE = callsOf('store-calls.cjs')['STORE']!

/** A committed layer `base`, its committed child `leaf`, and its active child `work`. */
export class StoreScene implements Scene {
  readonly #files = storeFiles()
  readonly #image: string
  readonly #tar: string
  #store: LayerStore | undefined
  /** To which `work` is grown: more each time. */
  #layerBytes = 64 * MiB

  constructor(scratch: Scratch) {
    this.#image = scratch.path('image.tar')
    this.#tar = scratch.path('layer.tar')
    const content = scratch.path('content')
    writeFileSync(content, 'content')
    run('tar', ['-C', path.dirname(content), '-cf', this.#tar, 'content'])
    const folder = scratch.path('making')
    const layers = [{ content: 'image' }]
    makeImage({ folder, name: 'a:1', busybox: '/bin/true', layers, archive: this.#image })
  }

  async start(processes: Processes): Promise<void> {
    const store = (this.#store = await LayerStore.open(this.#files.options))
    await store.prepare('first', '')
    await store.withMounted('first', async folder => writeFileSync(path.join(folder, 'content'), 'base'))
    await store.commit('base', 'first')
    const scene = { options: this.#files.options, image: this.#image, tar: this.#tar }
    await Promise.all(processes.map(process => process.prepare(scene)))
  }

  /** Restores what the last calls have changed. Returns what the calls are given. */
  async restored(): Promise<object> {
    const store = this.#store!
    const keys = await keysOf(store)
    // Children before their parents: `twin` is one of `fork`.
    for (const key of [...keys].reverse()) if (!['base', 'leaf', 'work'].includes(key)) await store.remove(key)
    await store.cleanup()
    if (!keys.includes('leaf')) {
      await store.prepare('soon', 'base')
      await store.commit('leaf', 'soon')
    }
    if (!keys.includes('work')) await store.prepare('work', 'base')
    const { data, metadata } = (await store.status()).pool
    this.#layerBytes += MiB
    return {
      dataBytes: data!.totalBytes + MiB,
      metadataBytes: metadata!.totalBytes + MiB,
      layerBytes: this.#layerBytes,
    }
  }

  /** What is wrong after two calls, as far as it shows at once. */
  async faults(ended: readonly Ended[]): Promise<string[]> {
    const faults = ended.flatMap(({ call, answer: { fault, value } }) => {
      if (!fault) return Array.isArray(value) && value.length > 0 ? [`${call} found ${value.join(' ')}`] : []
      return ON_STORE[call]!.codes.includes(fault.code ?? '')
        ? []
        : [`rejected: ${call}: ${fault.code}: ${fault.message}`]
    })
    for (const { name, suspended, sectors } of sysfsDevices([this.#files.poolName])) {
      if (suspended) faults.push(`${name} is suspended`)
      if (sectors === 0) faults.push(`${name} has no table`)
    }
    const done = ended.filter(({ answer }) => !answer.fault).map(({ call }) => ON_STORE[call]!)
    const made = new Set(done.flatMap(({ makes = [] }) => makes))
    const removed = new Set(done.flatMap(({ removes = [] }) => removes))
    // Where the first one failed, its layer has half of the content, and is removed.
    const mayLack = new Set(
      ended.flatMap(({ call, answer }) => (answer.fault && call === 'applyLayer' ? ['work'] : [])),
    )
    if (done.some(({ prunes }) => prunes))
      for (const key of ['leaf', 'done', 'image', 'point', 'fork', 'raw']) mayLack.add(key)
    const there = (await keysOf(this.#store!)).map(key => (key.startsWith('sha256:') ? 'image' : key))
    for (const key of ['base', 'leaf', 'work', ...made])
      if (!there.includes(key) && !removed.has(key) && !mayLack.has(key)) faults.push(`layer ${key} is lost`)
    for (const key of there) {
      const isKnown = ['base', 'leaf', 'work'].includes(key) || made.has(key)
      if (!isKnown || removed.has(key)) faults.push(`layer ${key} is there`)
    }
    return faults
  }

  /** What is wrong after many calls: by `verify`, by dmsetup, and by thin_ls beside the records. */
  async faultsOfPair(): Promise<string[]> {
    const store = this.#store!
    const faults = (await store.cleanup()).map(({ thin, error }) => `volume ${thin} stays: ${error.message}`)
    for (const { kind, error } of await store.verify()) faults.push(`${kind} ${error?.message ?? ''}`)
    for (const { name, attributes } of markedDevices())
      if (!/^L--?[rw]/.test(attributes)) faults.push(`${name} is ${attributes}`)
    const [recorded, leases] = await this.#records()
    const listed = thinIdsBy(this.#files.poolName).sort()
    if (listed.join() !== recorded.join()) faults.push(`thin_ls lists ${listed.join()}, the records ${recorded.join()}`)
    if (leases > 0) faults.push(`${leases} leases are left`)
    return faults
  }

  /** Closes the store, and removes everything. */
  async end(processes: Processes): Promise<void> {
    await Promise.all(processes.map(process => process.prepare(null)))
    await this.#store?.close()
    await endStore(this.#files)
  }

  async #records(): Promise<[thins: number[], leases: number]> {
    const database = await openDatabase(path.join(this.#files.directory, 'layers.db'))
    try {
      const rows = (sql: string) => database.prepare(sql).all() as { n: bigint }[]
      const thins = rows('SELECT thin AS n FROM layer').map(({ n }) => Number(n))
      return [thins.sort(), rows('SELECT id AS n FROM lease').length]
    } finally {
      database.close()
    }
  }
}
