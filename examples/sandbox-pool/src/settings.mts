// What the environment says.
import path from 'node:path'
import { GiB } from 'dm-thin'

export interface Settings {
  readonly directory: string
  /** A folder whose content becomes the base, when that is made for the first time. */
  readonly base: string | undefined
  readonly host: string
  readonly port: number
  readonly max: number
  readonly warm: number
  readonly sizeBytes: number
  readonly maxBytes: number
  readonly poolBytes: number
  readonly fullPercent: number
}

export function settingsOf(environment: NodeJS.ProcessEnv): Settings {
  const number = (name: string, otherwise: number, max = Number.MAX_SAFE_INTEGER): number => {
    const text = environment[name]
    if (text === undefined || text === '') return otherwise
    const value = Number(text)
    if (Number.isSafeInteger(value) && value >= 0 && value <= max) return value
    throw new Error(`${name} must be a whole number up to ${max}, and is "${text}"`)
  }
  const sizeBytes = number('SANDBOX_BYTES', 1 * GiB)
  return {
    directory: path.resolve(environment['SANDBOX_DIRECTORY'] ?? 'data'),
    base: environment['SANDBOX_BASE'],
    host: environment['SANDBOX_HOST'] ?? '127.0.0.1',
    port: number('SANDBOX_PORT', 8080, 65_535),
    max: number('SANDBOX_MAX', 32),
    warm: number('SANDBOX_WARM', 4, 1_000),
    sizeBytes,
    maxBytes: number('SANDBOX_MAX_BYTES', 10 * sizeBytes),
    poolBytes: number('SANDBOX_POOL_BYTES', 20 * GiB),
    fullPercent: number('SANDBOX_FULL_PERCENT', 90, 100),
  }
}
