// The bookmarks of deleted snapshots, as files of a directory.
import { access } from 'node:fs/promises'
import path from 'node:path'

/** Returns the path of the bookmark of a snapshot, if the directory has it. */
export async function bookmarkIn(directory: string | undefined, id: string): Promise<string | undefined> {
  if (directory === undefined) return undefined
  // Encoded, an id cannot name a file of another directory.
  const file = path.join(directory, `${encodeURIComponent(id)}.bookmark`)
  return access(file).then(
    () => file,
    (fault: NodeJS.ErrnoException) => {
      if (fault.code === 'ENOENT' || fault.code === 'ENAMETOOLONG') return undefined
      throw fault
    },
  )
}
