// Replacement of a metadata file by a repaired one. At each moment the path leads to the original or to the repaired
// file, which is on disk before; the original keeps a second name.
import { randomBytes } from 'node:crypto'
import { chmod, chown, link, open, readdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError, ERRNO } from '../../base/errors.js'

const TEMPORARY = '.repair-'
const KEPT = '.before-repair'

/**
 * Returns the name of a new file beside `file`. It is different each time: a program that a killed process has started
 * may still write to another.
 */
export const temporaryName = (file: string): string => `${file}${TEMPORARY}${randomBytes(4).toString('hex')}`

/** Deletes temporary files that killed processes have left. The caller holds the lock of the file. */
export async function deleteTemporaries(file: string): Promise<void> {
  const folder = path.dirname(file)
  const start = path.basename(file) + TEMPORARY
  for (const name of await readdir(folder)) {
    if (name.startsWith(start)) await rm(path.join(folder, name), { force: true })
  }
}

/** Puts `repaired` in the place of `file`. Returns the name that the original has then. */
export async function replaceFile(file: string, repaired: string): Promise<string> {
  try {
    const { mode, uid, gid } = await stat(file)
    await chmod(repaired, mode & 0o7777)
    await chown(repaired, uid, gid)
    await syncPath(repaired)
    const kept = await keepOriginal(file)
    await rename(repaired, file)
    await syncPath(path.dirname(file))
    return kept
  } catch (fault) {
    const { errno = -ERRNO.EIO, message } = fault as NodeJS.ErrnoException
    const facts = { operation: 'replace file', errno: Math.abs(errno), device: file, cause: fault }
    throw new DmThinError('DM_REPAIR_FAILED', `${file} was not replaced by the repaired metadata: ${message}`, facts)
  }
}

/** Resolves when the content of a file, folder or block device is on disk. */
export async function syncPath(name: string): Promise<void> {
  const handle = await open(name, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Creates a second name of a file, unless a process that was killed before the rename has created it. */
async function keepOriginal(file: string): Promise<string> {
  const { dev, ino } = await stat(file)
  for (let count = 1; ; count++) {
    const kept = `${file}${KEPT}${count === 1 ? '' : `-${count}`}`
    const there = await stat(kept).catch(() => undefined)
    if (there?.dev === dev && there.ino === ino) return kept
    if (there) continue
    await link(file, kept)
    return kept
  }
}
