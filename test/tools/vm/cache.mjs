// Where everything that can be fetched or made again is kept.
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

export const repository = resolve(import.meta.dirname, '../../..')

export function cacheDir() {
  const dir = process.env.DM_THIN_CACHE ? resolve(process.env.DM_THIN_CACHE) : join(repository, '.cache/vm')
  mkdirSync(dir, { recursive: true })
  return dir
}
