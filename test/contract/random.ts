// Random histories of volumes: what the pool counts is what a plain list of who wrote what gives.
import { MiB, type ThinVolume } from '../../lib/entry/index.js'
import { seeded, type Random } from '../helpers/random/random.js'
import { BLOCK, content, withPool, type Case, type Machine, type PoolAtHand } from './machine.js'

const STEPS = 60
const BLOCKS_PER_VOLUME = 16

interface Known {
  readonly volume: ThinVolume
  /** Block -> the write that it holds, by number. */
  readonly holds: Map<number, number>
}

class History {
  readonly #machine: Machine
  readonly #at: PoolAtHand
  readonly #random: Random
  readonly #known: Known[] = []
  #writes = 0

  constructor(machine: Machine, at: PoolAtHand, seed: number) {
    this.#machine = machine
    this.#at = at
    this.#random = seeded(seed)
  }

  async step(): Promise<void> {
    const choice = this.#random.below(10)
    const one = this.#known[this.#random.below(Math.max(1, this.#known.length))]
    if (!one || choice === 0) await this.#create()
    else if (choice === 1 && this.#known.length > 2) await this.#destroy(one)
    else if (choice <= 3) await this.#snapshot(one)
    else await this.#write(one)
  }

  async #create(): Promise<void> {
    const volume = await this.#at.pool.createVolume({ sizeBytes: MiB })
    this.#known.push({ volume: await volume.activate(), holds: new Map() })
  }

  async #snapshot({ volume, holds }: Known): Promise<void> {
    this.#known.push({ volume: await volume.snapshot({ activate: true }), holds: new Map(holds) })
  }

  async #destroy(one: Known): Promise<void> {
    await one.volume.destroy()
    this.#known.splice(this.#known.indexOf(one), 1)
  }

  /** Whole blocks and parts of them; a part leaves the rest of the block as it was, in a block of its own. */
  async #write({ volume, holds }: Known): Promise<void> {
    const block = this.#random.below(BLOCKS_PER_VOLUME)
    const whole = this.#random.chance(50)
    this.#writes += 1
    const bytes = content(1 + (this.#writes % 255), whole ? BLOCK : 4096)
    await this.#machine.write(volume.path, block * BLOCK, bytes)
    holds.set(block, this.#writes)
  }

  async check(): Promise<void> {
    const owners = new Map<number, number>()
    for (const { holds } of this.#known) {
      for (const write of holds.values()) owners.set(write, (owners.get(write) ?? 0) + 1)
    }
    const expected = this.#known.map(({ volume, holds }) => {
      const exclusiveBlocks = [...holds.values()].filter(write => owners.get(write) === 1).length
      return { id: volume.id, mappedBlocks: holds.size, exclusiveBlocks, sharedBlocks: holds.size - exclusiveBlocks }
    })
    expect(await this.#at.pool.usage()).toEqual(expected.sort((a, b) => a.id - b.id))
    expect((await this.#at.pool.status()).data!.usedBlocks).toBe(owners.size)
    for (const { volume, holds } of this.#known) {
      for (const [block, write] of holds) {
        expect((await this.#machine.read(volume.path, block * BLOCK, 1))[0]).toBe(1 + (write % 255))
      }
    }
  }
}

export const RANDOM: readonly Case[] = [1, 2, 3].map(seed => ({
  title: `history ${seed}: usage, used blocks and contents are as expected after ${STEPS} random steps`,
  run: machine =>
    withPool(
      machine,
      async at => {
        const history = new History(machine, at, seed)
        for (let step = 0; step < STEPS; step++) await history.step()
        await history.check()
      },
      { blocks: 512 },
    ),
}))
