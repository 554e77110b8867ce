// The files that a command reads as a stream, and those that it makes.
import { open, rm, type FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileFault } from '../../base/file-fault.js'
import { DmThinError } from '../../base/errors.js'
import { MiB } from '../../base/units.js'

// Files are opened before their streams are made: a stream that opens its file itself may fail while nobody listens to it.

/** Returns the stream of a file, or standard input. */
export async function inputStream(path: string | undefined): Promise<Readable> {
  if (path === undefined) return process.stdin
  return (await opened(path, 'r')).createReadStream({ highWaterMark: MiB })
}

/**
 * Writes the stream that `make` returns to a new file, and returns the number of bytes. Rejects before the call of `make` if
 * the file exists. Removes the new file after an error.
 */
export async function toNewFile(
  path: string,
  make: () => Readable | Promise<Readable>,
  signal: AbortSignal,
): Promise<number> {
  const file = (await opened(path, 'wx')).createWriteStream()
  try {
    await pipeline(await make(), file, { signal })
    return file.bytesWritten
  } catch (fault) {
    file.destroy()
    await rm(path, { force: true })
    throw fault
  }
}

async function opened(path: string, flags: 'r' | 'wx'): Promise<FileHandle> {
  try {
    return await open(path, flags)
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== 'EEXIST') throw fileFault('file', path, fault)
    throw new DmThinError('DM_NAME_TAKEN', `${path} exists already`, { device: path, cause: fault })
  }
}
