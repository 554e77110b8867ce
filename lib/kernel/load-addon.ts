// The native binary: a fresh local build if there is one, otherwise the prebuilt one of the package. Set
// DM_THIN_PREBUILD to a folder to load another build, as the sanitizer and fault tests do.
import path from 'node:path'
import load from 'node-gyp-build'
import { DmThinError } from '../base/errors.js'

export type Addon = Record<string, (...args: unknown[]) => unknown>

let loaded: Addon | undefined

/** Loads the binary once per environment; each worker has its own instance. Throws DM_UNAVAILABLE with instructions. */
export function loadAddon(): Addon {
  if (loaded) return loaded
  if (process.platform !== 'linux') {
    throw new DmThinError('DM_UNAVAILABLE', `device mapper is part of Linux; this is ${process.platform}`)
  }
  try {
    loaded = load(path.join(__dirname, '..', '..')) as Addon
  } catch (cause) {
    throw new DmThinError(
      'DM_UNAVAILABLE',
      `no native binary of dm-thin for ${process.platform}-${process.arch}: ` +
        'build it with `npm rebuild dm-thin` (needs a C++20 compiler, make and python3)',
      { cause },
    )
  }
  return loaded
}
