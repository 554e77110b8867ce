// The size that a device of the pool should have, and the size that it can have. Pure.
import type { SpaceStatus } from '../state/status.js'
import type { GrowthRule } from './keep-options.js'

const upTo = (bytes: number, unit: number): number => Math.ceil(bytes / unit) * unit
const downTo = (bytes: number, unit: number): number => Math.floor(bytes / unit) * unit

/** Returns the number of free blocks at which a device must grow. At that number of data blocks the kernel raises its event. */
export const lowBlocks = (rule: GrowthRule, blockBytes: number): number => Math.ceil(rule.growBelowBytes / blockBytes)

const isLow = (rule: GrowthRule, { totalBlocks, usedBlocks, blockBytes }: SpaceStatus): boolean =>
  totalBlocks - usedBlocks <= lowBlocks(rule, blockBytes)

/** Returns the size that the rule asks for, in whole blocks: the present one if enough is free. Ignores `maxBytes`. */
export function wantedBytes(rule: GrowthRule, space: SpaceStatus): number {
  const { totalBytes, usedBytes, blockBytes } = space
  const least = Math.max(totalBytes, upTo(rule.minBytes, blockBytes))
  if (!isLow(rule, space)) return least
  const target = upTo(rule.growBelowBytes, blockBytes) + rule.stepBytes
  const steps = Math.max(1, Math.ceil((target - (totalBytes - usedBytes)) / rule.stepBytes))
  return Math.max(least, upTo(totalBytes + steps * rule.stepBytes, blockBytes))
}

/** The space of the file or device below, and the space that it can still get. */
export interface Room {
  /** Size of the file or device below. */
  readonly backingBytes: number
  /** The part of a file that its file system has allocated. 0 for a block device. */
  readonly allocatedBytes: number
  /** Free space of the file system below, minus its reserve. Undefined for a block device. */
  readonly hostBytes: number | undefined
}

/** Returns the size, up to `wanted`, for which the disk below has space if every block of the pool is written. */
export function possibleBytes(wanted: number, rule: GrowthRule, space: SpaceStatus, room: Room): number {
  const { totalBytes, blockBytes } = space
  const limit = Math.max(totalBytes, Math.min(wanted, downTo(rule.maxBytes, blockBytes)))
  if (room.hostBytes === undefined) return limit
  // Also a block in use may have no space yet: its write is on the way, or the pool has zeroed it as a hole.
  const promised = Math.max(0, totalBytes - room.allocatedBytes)
  const more = downTo(Math.max(0, room.hostBytes - promised), blockBytes)
  return Math.min(limit, totalBytes + more)
}
