// The space of the file system below a file.
import { statfsSync, type StatsFs } from 'node:fs'
import { DmThinError, ERRNO } from '../base/errors.js'
import type { FileSystemSpace } from './port/file-port.js'

/**
 * Returns the space of the file system that has `file`. A tmpfs without a limit reports a size of 0. Runs on this thread:
 * writers that wait for space in a thin pool may occupy all threads of Node.
 */
export async function fileSystemSpace(file: string): Promise<FileSystemSpace> {
  const { bsize, bavail, blocks } = read(file)
  if (blocks === 0) return { freeBytes: Number.MAX_SAFE_INTEGER, totalBytes: Number.MAX_SAFE_INTEGER }
  return { freeBytes: bsize * bavail, totalBytes: bsize * blocks }
}

function read(file: string): StatsFs {
  try {
    return statfsSync(file)
  } catch (fault) {
    const { errno = ERRNO.EIO, message } = fault as NodeJS.ErrnoException
    const code = Math.abs(errno) === ERRNO.ENOENT ? 'DM_FILE_MISSING' : 'DM_KERNEL'
    const facts = { operation: 'statfs', errno: Math.abs(errno), device: file, cause: fault }
    throw new DmThinError(code, `statfs ${JSON.stringify(file)}: ${message}`, facts)
  }
}
