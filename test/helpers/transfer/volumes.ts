// Volumes that are sent and received in tests: their contents, their mapped blocks, and what a pool has.
import { readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import type { ThinPool, ThinVolume } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { run } from '../process/spawned.js'
import { collect } from '../metadata/collect.js'

/** Calls `body` with the device of an inactive volume, read-only. */
export async function onDevice<T>(volume: ThinVolume, body: (path: string) => T | Promise<T>): Promise<T> {
  await volume.activate({ readOnly: true })
  try {
    return await body(volume.path)
  } finally {
    await volume.deactivate()
  }
}

export const sha256 = (volume: ThinVolume): Promise<string> =>
  onDevice(volume, path => run('sha256sum', [path]).split(' ')[0]!)

/** The virtual blocks that each volume has mapped, by id. */
export async function mappedBlocks(pool: ThinPool, id: number): Promise<number[]> {
  const metadata = await ThinMetadata.open(pool, { reserve: false })
  try {
    const ranges = await collect(metadata.mappings(id))
    return ranges.flatMap(({ begin, length }) => Array.from({ length }, (_, at) => begin + at))
  } finally {
    await metadata.close()
  }
}

export const bytesOf = async (stream: Readable): Promise<Buffer> => Buffer.concat((await collect(stream)) as Buffer[])

/** A source that yields bytes in pieces of a length. */
export async function* pieces(bytes: Buffer, length = 100_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

/** The ids of a pool's volumes, and the volumes of its record. */
export async function contentsOf(pool: ThinPool, record: string) {
  const ids = (await pool.volumes()).map(({ id }) => id)
  const { volumes } = JSON.parse(readFileSync(record, 'utf8')) as { volumes: { id: number; receiving?: unknown }[] }
  return { ids, recorded: volumes }
}
