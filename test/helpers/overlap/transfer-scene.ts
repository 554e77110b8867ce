// The snapshot that two processes send at the same time: what is wrong after two calls.
import { createHash } from 'node:crypto'
import type { ThinPool, ThinVolume } from '../../../lib/entry/index.js'
import { sendVolume } from '../../../lib/entry/transfer.js'
import type { Ended } from './calls.js'
import type { Processes, Scene } from './overlap.js'
import { sysfsDevices } from './sysfs.js'

export class TransferScene implements Scene {
  readonly #pool: ThinPool
  readonly #snapshot: ThinVolume
  readonly #begins: boolean
  #digest = ''

  /** `begins`: the second process begins a stream before each two calls. */
  constructor(pool: ThinPool, snapshot: ThinVolume, begins: boolean) {
    this.#pool = pool
    this.#snapshot = snapshot
    this.#begins = begins
  }

  async restored([first, second]: Processes): Promise<object> {
    if (this.#digest === '') {
      const hash = createHash('sha256')
      for await (const piece of await sendVolume(this.#pool, this.#snapshot)) hash.update(piece as Buffer)
      this.#digest = hash.digest('hex')
    }
    const { id, sizeBytes } = this.#snapshot
    const scene = { name: this.#pool.name, id, sizeBytes }
    await first.prepare({ ...scene, begins: false })
    await second.prepare({ ...scene, begins: this.#begins })
    return {}
  }

  async faults(ended: readonly Ended[]): Promise<string[]> {
    const faults = ended.flatMap(({ call, answer: { fault, value } }) => {
      if (fault) return [`${call}: ${fault.code}: ${fault.message}`]
      return value === this.#digest ? [] : [`${call} has sent something else`]
    })
    // The stream of the scene is still open if the first call was not held.
    if (this.#begins && ended.length === 1) return faults
    return [...faults, ...sysfsDevices([this.#snapshot.name]).map(({ name }) => `${name} is active`)]
  }

  faultsOfPair(): Promise<string[]> {
    return Promise.resolve([])
  }
}
