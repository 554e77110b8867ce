// Folders beside the store for what comes in or goes out: archives being unpacked, layers before their size is known.
// Each is named after its owner, so that what a dead one left can be told.
import { randomUUID } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import path from 'node:path'

const foldersOf = (directory: string): string => path.join(directory, 'staging')

/** A name that nothing has; whoever makes the folder removes it. */
export const stagingFolder = (directory: string, owner: string): string =>
  path.join(foldersOf(directory), `${owner}.${randomUUID()}`)

export function sweepStaging(directory: string, living: ReadonlySet<string>): void {
  let names: string[]
  try {
    names = readdirSync(foldersOf(directory))
  } catch {
    return // none was ever made
  }
  for (const name of names) {
    if (!living.has(name.split('.')[0]!))
      rmSync(path.join(foldersOf(directory), name), { recursive: true, force: true })
  }
}
