// Reading and writing block devices with content that can be told apart: by seed, and by place within the seed.
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { alignedBuffer, KiB } from '../../../lib/entry/index.js'
import { tryRun } from '../process/spawned.js'

/** The data block of the test pools. */
export const BLOCK = 64 * KiB
const PAGE = 4096

/** `bytes` of pseudo-random content; each page also carries its own number, so that a misplaced page shows. */
export function pattern(seed: number, bytes: number): Buffer {
  const page = Buffer.alloc(PAGE)
  let state = (seed * 2654435761 + 1) >>> 0 || 1
  for (let at = 0; at < PAGE; at += 4) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    page.writeUInt32LE(state, at)
  }
  const whole = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += PAGE) {
    page.copy(whole, at)
    if (bytes - at >= 4) whole.writeUInt32LE(at / PAGE, at)
  }
  return whole
}

/** Writes and flushes to the device; rejects with the device's own error (`ENOSPC`, `EIO`). */
export async function writeAt(device: string, offset: number, content: Uint8Array): Promise<void> {
  const file = await open(device, constants.O_WRONLY)
  try {
    for (let done = 0; done < content.length;) {
      const { bytesWritten } = await file.write(content, done, content.length - done, offset + done)
      done += bytesWritten
    }
    await file.sync()
  } finally {
    await file.close()
  }
}

/**
 * Writes block by block, each past the page cache, which could divide it, and on disk before the next. A growth of a small
 * pool, which has no spare blocks, then meets one write at most (docs/space.md).
 */
export async function writeInTurn(device: string, offset: number, content: Uint8Array): Promise<void> {
  const file = await open(device, constants.O_WRONLY | constants.O_DIRECT)
  try {
    for (let at = 0; at < content.length; at += BLOCK) {
      const block = alignedBuffer(Math.min(BLOCK, content.length - at))
      block.set(content.subarray(at, at + block.length))
      const { bytesWritten } = await file.write(block, 0, block.length, offset + at)
      expect(bytesWritten).toBe(block.length)
      await file.sync()
    }
  } finally {
    await file.close()
  }
}

/** Reads through an open of its own: the kernel drops a block device's cache when its last user closes it. */
export async function readAt(device: string, offset: number, bytes: number): Promise<Buffer> {
  const file = await open(device, constants.O_RDONLY)
  try {
    const content = Buffer.alloc(bytes)
    for (let done = 0; done < bytes;) {
      const { bytesRead } = await file.read(content, done, bytes - done, offset + done)
      if (bytesRead === 0) return content.subarray(0, done)
      done += bytesRead
    }
    return content
  } finally {
    await file.close()
  }
}

/** Writes block `block` of the device with the content of `seed`. */
export const writeBlock = (device: string, block: number, seed: number): Promise<void> =>
  writeAt(device, block * BLOCK, pattern(seed, BLOCK))

/** The seed among `seeds` whose content block `block` has; 'zero' or 'other' when it has none of them. */
export async function seedOf(
  device: string,
  block: number,
  seeds: readonly number[],
): Promise<number | 'zero' | 'other'> {
  const content = await readAt(device, block * BLOCK, BLOCK)
  if (content.every(byte => byte === 0)) return 'zero'
  return seeds.find(seed => content.equals(pattern(seed, BLOCK))) ?? 'other'
}

/**
 * Writes zeros to a block past the page cache, by dd: what it complains of, or nothing. A write through the cache is
 * told of a failed write-back as EIO, whatever the device said.
 */
export const directWrite = (device: string, block: number): string =>
  tryRun('dd', ['if=/dev/zero', `of=${device}`, 'bs=64k', 'count=1', `seek=${block}`, 'oflag=direct', 'status=none'])
    .stderr
