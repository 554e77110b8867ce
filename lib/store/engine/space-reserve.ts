// The reserve: space that is kept for removals, because a pool without any free metadata block cannot delete volumes.
import { statfsSync, type StatsFs } from 'node:fs'
import { statfs } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError } from '../../base/errors.js'
import { GiB } from '../../base/units.js'
import type { ReserveRequest } from '../../kernel/port/pool-port.js'
import { METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import type { DeviceSource } from '../../pool/lifecycle/pool-options.js'
import type { ThinPool } from '../../pool/thin-pool.js'

/** The limit of the reserve in the file system below a pool's file. */
const MAX_BELOW_BYTES = 1 * GiB

/** The types of local file systems (linux/magic.h): ext4, xfs, btrfs, f2fs, tmpfs. Others may ask a server. */
const LOCAL: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994])

/** The largest reserve of data and of metadata, in bytes. */
export type ReserveLimits = Readonly<Record<'data' | 'metadata', number>>

/** The reserve of a pool. */
export class Reserve {
  readonly #pool: ThinPool
  readonly #percent: number
  readonly #data: DeviceSource
  readonly #limits: ReserveLimits
  #asking: Promise<void> | undefined
  /** True if the file system below the pool's file is known to be a local one. */
  #isLocal = false

  constructor(pool: ThinPool, percent: number, data: DeviceSource, limits: ReserveLimits) {
    this.#pool = pool
    this.#percent = percent
    this.#data = data
    this.#limits = limits
  }

  /** Rejects with `DM_POOL_FULL` if less than the reserve is free. Concurrent calls share one check. */
  check(): Promise<void> {
    return (this.#asking ??= this.#ask().finally(() => (this.#asking = undefined)))
  }

  /**
   * Returns what a native call has to check before it makes a snapshot, so that no call of its own looks at the pool. Looks at
   * the file system below the pool's file. Rejects as `check` does.
   */
  async request(): Promise<ReserveRequest | undefined> {
    if (this.#percent === 0) return undefined
    if (!this.#isRoomBelow()) await this.check() // the rest depends on the pool
    return {
      percent: this.#percent,
      dataBlocks: this.#limits.data / this.#pool.dataBlockBytes,
      metadataBlocks: this.#limits.metadata / METADATA_BLOCK_BYTES,
    }
  }

  /** Returns true if the file system below the pool's file is known to have room, whatever the pool may still write to it. */
  #isRoomBelow(): boolean {
    if (this.#data.file === undefined) return true
    if (!this.#isLocal) return false
    const { bsize, blocks, bavail } = statfsSync(path.dirname(this.#data.file))
    return bsize * bavail >= Math.min(this.#of(bsize * blocks), MAX_BELOW_BYTES)
  }

  async #ask(): Promise<void> {
    if (this.#percent === 0) return
    const space = await this.#pool.space()
    if (space === undefined) return // a pool that has failed says so itself
    const { data, metadata } = space
    this.#refuse('data', data.totalBytes - data.usedBytes, Math.min(this.#of(data.totalBytes), this.#limits.data))
    const metadataBytes = Math.min(this.#of(metadata.totalBytes), this.#limits.metadata)
    this.#refuse('metadata', metadata.totalBytes - metadata.usedBytes, metadataBytes)
    if (this.#data.file === undefined) return
    const { bsize, blocks, bavail } = await this.#below(path.dirname(this.#data.file))
    const growing = data.totalBytes - data.usedBytes
    const wanted = Math.min(this.#of(bsize * blocks), MAX_BELOW_BYTES, growing)
    this.#refuse(`the file system of ${this.#data.file}`, bsize * bavail, wanted)
  }

  /** Reads the space of a file system. If it is a local one, this needs no I/O, and less than another thread would. */
  async #below(folder: string): Promise<StatsFs> {
    if (this.#isLocal) return statfsSync(folder)
    const found = await statfs(folder)
    this.#isLocal = LOCAL.has(found.type)
    return found
  }

  #of(bytes: number): number {
    return (bytes * this.#percent) / 100
  }

  #refuse(what: string, freeBytes: number, wantedBytes: number): void {
    if (freeBytes >= wantedBytes) return
    const text = `pool ${this.#pool.name}: ${what} has ${freeBytes} bytes free, of which ${Math.ceil(wantedBytes)} are reserved`
    throw new DmThinError('DM_POOL_FULL', `${text}: remove layers, or grow the pool`, { device: this.#pool.name })
  }
}
