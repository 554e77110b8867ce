// The pool's snapshot clock. Each snapshot in the life of a pool advances it by one, deleted ones included. The kernel
// counts in 32 bits and stores 24 of them with each mapping, without a mask (dm-thin-metadata.c pack_block_time): after
// 2^24 snapshots the excess bits spill into block addresses, and mappings of different volumes share blocks.
import { setTimeout as sleep } from 'node:timers/promises'
import { DmThinError } from '../../base/errors.js'
import type { FilePort } from '../../kernel/port/file-port.js'
import { METADATA_BLOCK_BYTES } from '../../metadata/block-source.js'
import { parseSuperblock } from '../../metadata/superblock.js'

/** The last value of the clock that the kernel stores correctly. */
const LAST_TIME = 2 ** 24 - 1
/**
 * The number of snapshots before that value at which the library stops: other programs may create some between two
 * reads of the superblock.
 */
export const SNAPSHOT_MARGIN = 2 ** 16
/** The number of snapshots that a pool can take in its life. */
export const SNAPSHOT_LIMIT = LAST_TIME - SNAPSHOT_MARGIN
/** The threshold of the event: 90 %. */
const LOW = Math.floor(SNAPSHOT_LIMIT * 0.9)
/** The number of snapshots of this process after which the superblock is read again, while the limit is far. */
const RECHECK = 1024
/** The number of attempts: the kernel may be writing the superblock while it is read. */
const READ_TRIES = 5
const READ_PAUSE_MS = 2

/** Snapshots in the life of a pool, deleted ones included. */
export interface SnapshotsStatus {
  /** The number of snapshots that were made, according to the superblock (`time`). */
  readonly made: number
  /** The number of snapshots that the library still creates. If it is 0, the next one rejects with `DM_POOL_WORN`. */
  readonly left: number
  /** `made` plus `left`: 2^24 - 1, minus a margin of 2^16. */
  readonly limit: number
}

export const snapshotsStatus = (time: number): SnapshotsStatus => ({
  made: time,
  left: Math.max(0, SNAPSHOT_LIMIT - time),
  limit: SNAPSHOT_LIMIT,
})

export const areSnapshotsLow = ({ made }: SnapshotsStatus): boolean => made >= LOW

/**
 * Returns the least value of the clock of a pool whose snapshots were counted with these values (`CountCompleted`), in any
 * order and by any pool objects.
 *
 * The snapshots of one reading have different clocks, all above its time, and as many values: time + 1, time + 2 and so on.
 * So at least as many clocks as values are above any number. Each snapshot belongs to one reading, so that this is also true
 * of all readings together: if n values are above a number, the clock is at least that number + n.
 */
export function leastSnapshotTime(values: readonly number[]): number {
  const descending = [...values].sort((a, b) => b - a)
  return descending.reduce((least, value, above) => Math.max(least, value + above), 0)
}

/**
 * Returns the clock in a superblock that was just read; undefined without one. Reads it again if the kernel was writing
 * it.
 */
export async function snapshotTimeIn(
  superblock: Uint8Array | undefined,
  port: FilePort,
  metadataPath: string,
  signal?: AbortSignal,
): Promise<number | undefined> {
  if (superblock === undefined) return undefined
  try {
    return parseSuperblock(superblock).time
  } catch {
    return readSnapshotTime(port, metadataPath, signal)
  }
}

/** Returns the clock in the superblock on disk; undefined if it cannot be read. */
export async function readSnapshotTime(
  port: FilePort,
  metadataPath: string,
  signal?: AbortSignal,
): Promise<number | undefined> {
  for (let tries = 1; ; tries++) {
    try {
      const [block] = await port.readBlocks(metadataPath, [0], METADATA_BLOCK_BYTES, false, signal)
      return parseSuperblock(block!).time
    } catch (fault) {
      signal?.throwIfAborted()
      const torn = fault instanceof DmThinError && fault.code === 'DM_METADATA_CORRUPT'
      if (!torn || tries >= READ_TRIES) return undefined
      await sleep(READ_PAUSE_MS)
    }
  }
}

/**
 * A function that counts a snapshot that is complete, and returns a value that the clock has reached with it; undefined if
 * the superblock could not be read. It is called once for each snapshot that succeeded.
 */
export type CountCompleted = () => number | undefined

/** The clock at one read of the superblock, and the snapshots that this object has sent since. */
interface Reading {
  readonly time: number
  sent: number
  /** Those of them that are complete. None is in `time`, because they were sent after the read. */
  completed: number
}

/** The clock as one pool object knows it. It reads the superblock now and then, and counts its own snapshots. */
export class SnapshotClock {
  readonly #read: () => Promise<number | undefined>
  readonly #whenLow = new Set<() => void>()
  #last: Reading | undefined
  #isLow = false

  constructor(read: () => Promise<number | undefined>) {
    this.#read = read
  }

  /**
   * Runs `send`, which creates `count` snapshots, or rejects with `DM_POOL_WORN`. If the superblock cannot be read,
   * nothing is rejected: in that case the kernel cannot commit either.
   */
  async counted<T>(pool: string, count: number, send: (completed: CountCompleted) => Promise<T>): Promise<T> {
    if (this.#mustRead(count)) await this.#look()
    const last = this.#last
    if (last === undefined) return send(() => undefined)
    const { made, left } = snapshotsStatus(last.time + last.sent)
    if (count > left) throw worn(pool, made)
    last.sent += count
    try {
      // If the superblock is read during the call, its snapshots may be in the new time. They belong to the former reading.
      return await send(() => last.time + (last.completed += 1))
    } finally {
      if (!this.#isLow && areSnapshotsLow(snapshotsStatus(made + count))) await this.#look()
    }
  }

  /** Calls `tell` when snapshots of this object reach 90 % of the limit. Returns the function that stops this. */
  onLow(tell: () => void): () => void {
    this.#whenLow.add(tell)
    return () => void this.#whenLow.delete(tell)
  }

  #mustRead(count: number): boolean {
    if (this.#last === undefined) return true
    const { time, sent } = this.#last
    const near = time + sent + count > SNAPSHOT_LIMIT - SNAPSHOT_MARGIN
    return near || sent + count > RECHECK
  }

  async #look(): Promise<void> {
    const time = await this.#read()
    if (time === undefined) return
    this.#last = { time, sent: 0, completed: 0 }
    if (this.#isLow || !areSnapshotsLow(snapshotsStatus(time))) return
    this.#isLow = true
    for (const tell of this.#whenLow) tell()
  }
}

function worn(pool: string, made: number): DmThinError {
  const text = `pool ${pool} has made ${made} snapshots, and the kernel corrupts mappings after ${LAST_TIME}; copy its volumes to a new pool`
  return new DmThinError('DM_POOL_WORN', text, { device: pool })
}
