// Folders in the store's directory for temporary files: archives being unpacked, exported layers before their size is
// known. Each is named after its owner, so that those of dead owners can be recognised.
import { randomUUID } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import path from 'node:path'

const foldersOf = (directory: string): string => path.join(directory, 'staging')

/** Returns an unused name for a folder. The caller creates the folder and removes it. */
export const stagingFolder = (directory: string, owner: string): string =>
  path.join(foldersOf(directory), `${owner}.${randomUUID()}`)

export function sweepStaging(directory: string, living: ReadonlySet<string>): void {
  let names: string[]
  try {
    names = readdirSync(foldersOf(directory))
  } catch {
    return // no such folder has been created yet
  }
  for (const name of names) {
    if (!living.has(name.split('.')[0]!))
      rmSync(path.join(foldersOf(directory), name), { recursive: true, force: true })
  }
}
