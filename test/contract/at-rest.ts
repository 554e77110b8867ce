// The superblock of a pool at rest, changed by hand.
import { blockChecksum, CHECKSUM_SALT } from '../../lib/metadata/crc32c.js'
import type { CreatePoolOptions } from '../../lib/entry/index.js'
import type { Machine } from './machine.js'

const TIME = 44
const FLAGS = 4
export const NEEDS_CHECK = 1

type Files = Pick<Machine, 'read' | 'write'>

async function edit(machine: Files, { metadata }: CreatePoolOptions, offset: number, value: number): Promise<void> {
  const { file } = metadata as { readonly file: string }
  const block = await machine.read(file, 0, 4096)
  const view = new DataView(block.buffer, block.byteOffset, block.length)
  view.setUint32(offset, value, true)
  view.setUint32(0, blockChecksum(block, CHECKSUM_SALT.superblock), true)
  await machine.write(file, 0, block)
}

/** Sets the snapshot clock. */
export const setTime = (machine: Files, pool: CreatePoolOptions, time: number): Promise<void> =>
  edit(machine, pool, TIME, time)

/** Sets the flags: NEEDS_CHECK or 0. */
export const setFlags = (machine: Files, pool: CreatePoolOptions, flags: number): Promise<void> =>
  edit(machine, pool, FLAGS, flags)
