// Packages that only a part of the library needs (optional peer dependencies).
import { DmThinError } from './errors.js'

/** Runs `load`, which imports `name`. Rejects with `DM_DEPENDENCY` and the command that installs the package. */
export async function dependency<T>(name: string, range: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    throw missing(name, range, cause)
  }
}

/** Runs `load`, which requires `name`. @throws DmThinError `DM_DEPENDENCY` with the command that installs the package */
export function requiredDependency<T>(name: string, range: string, load: () => T): T {
  try {
    return load()
  } catch (cause) {
    throw missing(name, range, cause)
  }
}

function missing(name: string, range: string, cause: unknown): DmThinError {
  const message = `the package ${name} is needed for this and cannot be loaded: npm install ${name}@${range}`
  return new DmThinError('DM_DEPENDENCY', message, { detail: name, cause })
}
