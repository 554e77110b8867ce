// What each step cost: time, data blocks, metadata blocks, and what the sparse files really take on disk.
import { stat } from 'node:fs/promises'
import { KiB, MiB, GiB, type ThinPool } from 'dm-thin'

export function bytes(count: number): string {
  if (count >= GiB) return `${(count / GiB).toFixed(2)} GiB`
  if (count >= MiB) return `${(count / MiB).toFixed(1)} MiB`
  if (count >= KiB) return `${Math.round(count / KiB)} KiB`
  return `${count} B`
}

export interface Sizes {
  readonly apparentBytes: number
  readonly onDiskBytes: number
}

export async function fileSizes(files: readonly string[]): Promise<Sizes> {
  const all = await Promise.all(files.map(file => stat(file)))
  return {
    apparentBytes: all.reduce((sum, { size }) => sum + size, 0),
    onDiskBytes: all.reduce((sum, { blocks }) => sum + blocks * 512, 0),
  }
}

interface Balance {
  readonly data: number
  readonly metadata: number
  readonly onDiskBytes: number
}

const NOTHING: Balance = { data: 0, metadata: 0, onDiskBytes: 0 }

export class Ledger {
  readonly #files: readonly string[]
  #pool: ThinPool | undefined
  #last = NOTHING
  #step = 0

  constructor(files: readonly string[]) {
    this.#files = files
  }

  /** From here on the pool's blocks are counted too. What is there now is where the counting begins. */
  async follow(pool: ThinPool | undefined): Promise<void> {
    this.#pool = pool
    this.#last = await this.#balance()
  }

  heading(): void {
    console.log(row('', 'ms', 'data blocks', 'metadata', 'on disk'))
  }

  /** Runs one step of the story and prints a line for it. */
  async step<T>(title: string, body: () => Promise<T>): Promise<T> {
    const started = performance.now()
    const result = await body()
    const took = performance.now() - started
    const now = await this.#balance()
    const gained = (is: number, was: number) => (is === was ? '·' : `${is > was ? '+' : ''}${is - was}`)
    this.#step += 1
    const label = `${String(this.#step).padStart(2)} ${title}`
    const grown = now.onDiskBytes - this.#last.onDiskBytes
    const disk = `${bytes(now.onDiskBytes)}${grown > 0 ? ` (+${bytes(grown)})` : ''}`
    const { data, metadata } = this.#last
    console.log(row(label, took.toFixed(1), gained(now.data, data), gained(now.metadata, metadata), disk))
    this.#last = now
    return result
  }

  async #balance(): Promise<Balance> {
    const { onDiskBytes } = await fileSizes(this.#files).catch(() => ({ onDiskBytes: 0 }))
    if (!this.#pool) return { ...NOTHING, onDiskBytes }
    const { data, metadata } = await this.#pool.status()
    if (!data) throw new Error('the pool has failed')
    return { data: data.usedBlocks, metadata: metadata.usedBlocks, onDiskBytes }
  }
}

const row = (label: string, ...cells: [string, string, string, string]): string =>
  label.padEnd(74) + cells[0].padStart(8) + cells[1].padStart(13) + cells[2].padStart(10) + '  ' + cells[3]

/** A line of its own under a step. */
export const note = (text: string): void => console.log(`     ${text}`)
