// Admission of new volumes: the reserve of space of a pool, and its snapshot clock.
import { DmThinError } from '../../base/errors.js'
import { checkNumber, checkOptions } from '../../base/options.js'
import type { parsePoolStatus } from '../../target/thin-pool.js'
import { METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import type { CountCompleted, SnapshotClock } from './snapshot-clock.js'

/** Space that is reserved for the existing volumes of a pool, and for their deletion. */
export interface ReserveOptions {
  /** Free data in bytes below which new volumes are rejected. Default 0. */
  readonly dataBytes?: number
  /** Free metadata in bytes below which new volumes are rejected. Deleting a volume needs some. Default 0. */
  readonly metadataBytes?: number
}

export function checkReserve(reserve: unknown): Required<ReserveOptions> {
  if (reserve === undefined) return { dataBytes: 0, metadataBytes: 0 }
  checkOptions(reserve, ['dataBytes', 'metadataBytes'], 'reserve')
  const { dataBytes = 0, metadataBytes = 0 } = reserve as ReserveOptions
  return {
    dataBytes: checkNumber('reserve.dataBytes', dataBytes, { min: 0 }),
    metadataBytes: checkNumber('reserve.metadataBytes', metadataBytes, { min: 0 }),
  }
}

type Line = ReturnType<typeof parsePoolStatus>

export class Reserve {
  readonly #pool: string
  readonly #wanted: Required<ReserveOptions>
  readonly #dataBlockBytes: number
  readonly #read: () => Promise<Line>
  #asking: Promise<void> | undefined

  constructor(pool: string, wanted: Required<ReserveOptions>, dataBlockBytes: number, read: () => Promise<Line>) {
    this.#pool = pool
    this.#wanted = wanted
    this.#dataBlockBytes = dataBlockBytes
    this.#read = read
  }

  /** The option of the pool object. */
  get wanted(): Required<ReserveOptions> {
    return this.#wanted
  }

  /** Rejects with `DM_POOL_RESERVE` if less than the reserve is free. Concurrent calls share one status call. */
  check(): Promise<void> {
    return (this.#asking ??= this.#ask().finally(() => (this.#asking = undefined)))
  }

  async #ask(): Promise<void> {
    const { dataBytes, metadataBytes } = this.#wanted
    if (dataBytes === 0 && metadataBytes === 0) return
    const line = await this.#read()
    if (!('totalDataBlocks' in line)) return // the creation reports that the pool has failed
    const data = (line.totalDataBlocks - line.usedDataBlocks) * this.#dataBlockBytes
    const metadata = (line.totalMetadataBlocks - line.usedMetadataBlocks) * METADATA_BLOCK_BYTES
    this.#refuse('metadata', metadata, metadataBytes)
    this.#refuse('data', data, dataBytes)
  }

  #refuse(what: string, freeBytes: number, reservedBytes: number): void {
    const missingBytes = reservedBytes - freeBytes
    if (missingBytes <= 0) return
    const text = `pool ${this.#pool}: ${freeBytes} bytes of ${what} are free, ${missingBytes} less than the reserve of ${reservedBytes}; delete volumes or grow the pool`
    throw new DmThinError('DM_POOL_RESERVE', text, { device: this.#pool, detail: what, missingBytes })
  }
}

/**
 * Runs `send`, which creates a volume or this number of `snapshots`, if the pool admits it. `send` calls its argument for
 * each snapshot that succeeded. Rejects with `DM_POOL_RESERVE`, and for snapshots with `DM_POOL_WORN`.
 */
export async function admitted<T>(
  pool: { readonly name: string; readonly reserve: Reserve; readonly clock: SnapshotClock },
  snapshots: number,
  send: (completed: CountCompleted) => Promise<T>,
): Promise<T> {
  await pool.reserve.check()
  return snapshots === 0 ? send(() => undefined) : pool.clock.counted(pool.name, snapshots, send)
}
