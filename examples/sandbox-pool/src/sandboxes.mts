// The sandboxes that are given out: each a layer on the base, mounted at a folder of its own.
import { randomBytes } from 'node:crypto'
import path from 'node:path'
import { exportToPrometheus } from 'dm-thin/metrics'
import { LayerStore } from 'dm-thin/store'
import { Registry } from 'prom-client'
import { BASE, ensureBase } from './base.mjs'
import { MountPoints } from './mount-points.mjs'
import { Refusal } from './refusal.mjs'
import type { Settings } from './settings.mjs'
import { statusOf, type Status } from './status.mjs'

export interface Sandbox {
  readonly id: string
  readonly path: string
  readonly sizeBytes: number
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

const keyOf = (id: string): string => `sandbox-${id}`

export class Sandboxes {
  readonly #settings: Settings
  readonly #store: LayerStore
  readonly #mountPoints: MountPoints
  /** The metrics for Prometheus. */
  readonly registry = new Registry()
  readonly #made = new Map<string, Sandbox>()
  readonly #running = new Set<Promise<unknown>>()
  #making = 0
  #closing = false
  /** Called after each change. */
  onChange: () => void = () => {}

  private constructor(settings: Settings, store: LayerStore, mountPoints: MountPoints) {
    this.#settings = settings
    this.#store = store
    this.#mountPoints = mountPoints
  }

  /** Opens the store, takes away what a killed service has left, and has the first sandboxes ready when it resolves. */
  static async open(settings: Settings): Promise<Sandboxes> {
    const { directory, sizeBytes, poolBytes, base, warm } = settings
    const pool = { data: { file: path.join(directory, 'data.img'), sizeBytes: poolBytes } }
    const store = await LayerStore.open({ directory, sizeBytes, pool })
    try {
      const mountPoints = new MountPoints(path.join(directory, 'sandboxes'))
      await mountPoints.clear()
      for await (const { key } of store.walk({ filter: ({ kind }) => kind === 'active' })) await store.remove(key)
      await ensureBase(store, base)
      await store.warm(BASE, warm)
      const sandboxes = new Sandboxes(settings, store, mountPoints)
      await exportToPrometheus([store], { registry: sandboxes.registry, volumes: true })
      return sandboxes
    } catch (fault) {
      await store.takeDown()
      throw fault
    }
  }

  list(): Sandbox[] {
    return [...this.#made.values()]
  }

  make(sizeBytes?: number): Promise<Sandbox> {
    return this.#run(() => this.#admit(sizeBytes))
  }

  /** Unmounts it and removes its layer. Refused with `DM_BUSY`, and stays, while a process uses a file of it. */
  remove(id: string): Promise<void> {
    return this.#run(() => this.#removeOne(id))
  }

  status(): Promise<Status> {
    const { max, warm } = this.#settings
    return this.#run(async () => {
      const known = await statusOf(this.#store)
      return { ...known, sandboxes: this.list(), max, warm }
    })
  }

  /** When all calls under way are answered: removes all sandboxes, takes the pool down. The base stays in its file. */
  async close(): Promise<void> {
    this.#closing = true
    await Promise.allSettled(this.#running)
    await Promise.all(
      this.list().map(async ({ id }) => {
        await this.#mountPoints.unmount(id, { lazy: true })
        await this.#store.remove(keyOf(id))
        this.#made.delete(id)
      }),
    )
    await this.#store.cleanup()
    await this.#store.takeDown()
  }

  /** A call that `close` waits for, also when nobody waits for its answer any more. */
  async #run<T>(body: () => Promise<T>): Promise<T> {
    if (this.#closing) throw new Refusal(503, 'SANDBOX_CLOSING', 'the service is ending')
    const running = body()
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }

  async #admit(sizeBytes: number | undefined): Promise<Sandbox> {
    const { max, maxBytes } = this.#settings
    if (this.#made.size + this.#making >= max) throw new Refusal(429, 'SANDBOX_LIMIT', `there are ${max} already`)
    if (sizeBytes !== undefined && sizeBytes > maxBytes) {
      throw new Refusal(400, 'SANDBOX_SIZE', `sizeBytes must be at most ${maxBytes}, and is ${sizeBytes}`)
    }
    this.#making += 1
    try {
      await this.#refuseWhenFull()
      return await this.#makeOne(randomBytes(6).toString('hex'), sizeBytes)
    } finally {
      this.#making -= 1
      this.onChange()
    }
  }

  async #removeOne(id: string): Promise<void> {
    const sandbox = this.#made.get(id)
    if (!sandbox) throw new Refusal(404, 'SANDBOX_NOT_FOUND', `there is no sandbox ${id}`)
    this.#made.delete(id) // whoever asks a second time meanwhile finds none
    try {
      await this.#mountPoints.unmount(id)
    } catch (fault) {
      this.#made.set(id, sandbox)
      throw fault
    }
    await this.#store.remove(keyOf(id))
    this.onChange()
  }

  async #makeOne(id: string, sizeBytes: number | undefined): Promise<Sandbox> {
    const key = keyOf(id)
    // Without a size of its own it is one of those that are kept ready.
    const layer = await this.#store.prepare(key, BASE, sizeBytes === undefined ? {} : { sizeBytes })
    try {
      const mounted = await this.#mountPoints.mount(layer, id)
      const info = await this.#store.stat(key)
      const sandbox = { id, path: mounted, sizeBytes: info.sizeBytes, createdAt: Number(info.createdAt / 1_000_000n) }
      this.#made.set(id, sandbox)
      return sandbox
    } catch (fault) {
      await this.#store.remove(key)
      throw fault
    }
  }

  /** A full pool fails every sandbox at once: what is left belongs to those that are there. */
  async #refuseWhenFull(): Promise<void> {
    const { fullPercent } = this.#settings
    const { mode, data } = (await this.#store.status()).pool
    if (!data) throw new Refusal(503, 'SANDBOX_SPACE', `the pool has failed: its mode is ${mode}`)
    if (100 * data.usedBytes >= fullPercent * data.totalBytes) {
      throw new Refusal(503, 'SANDBOX_SPACE', `${fullPercent} percent of the pool are used`)
    }
  }
}
