// What the long tests have in common: a look at a pool at rest, and figures that are kept.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { ThinPool } from '../../../lib/entry/index.js'
import type { PoolFiles } from '../pool/pools.js'
import { thinCheck, thinUsageBy, type ThinUsage } from '../kernel/dmsetup.js'

/** 0, `step`, 2 × `step` … below `end`. */
export const range = (end: number, step = 1): number[] =>
  Array.from({ length: Math.ceil(end / step) }, (_, at) => at * step)

export const idsOf = async (pool: ThinPool): Promise<number[]> => (await pool.volumes()).map(volume => volume.id)

/** Takes the pool down, has thin_check and thin_ls look at what is on disk, and brings it up again. */
export async function atRest(pool: ThinPool, files: PoolFiles): Promise<[ThinPool, ThinUsage[]]> {
  await pool.remove()
  thinCheck(files.metadataFile)
  const counted = thinUsageBy(files.metadataFile)
  return [await ThinPool.open(files.reopen), counted]
}

const folder = path.join(__dirname, '../../../.cache/long')

/** Keeps figures of this run where `npm run test:long` finds them; they are told, not compared. */
export function keepFigures(name: string, figures: readonly object[]): void {
  mkdirSync(folder, { recursive: true })
  const world = process.env['DM_THIN_UDEV'] === '1' ? 'udev' : 'bare'
  writeFileSync(path.join(folder, `${name}-${world}.json`), JSON.stringify(figures, null, 1) + '\n')
}
