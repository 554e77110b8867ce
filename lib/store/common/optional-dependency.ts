// Packages that only a part of the library needs, and that are installed only by those who use that part.
import { DmThinError } from '../../base/errors.js'

/** `load` imports `name`. Rejects with `DM_STORE_DEPENDENCY` and the command that installs it. */
export async function dependency<T>(name: string, range: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    const message = `the package ${name} is needed for this and cannot be loaded: npm install ${name}@${range}`
    throw new DmThinError('DM_STORE_DEPENDENCY', message, { detail: name, cause })
  }
}
