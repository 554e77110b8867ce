// Small files that are read and replaced as a whole. A crash of the machine leaves the old or the new content: a
// temporary file is written and synced, renamed over the old file, and the folder is synced.
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { open, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError, ERRNO } from '../base/errors.js'

/** Returns the content; undefined if there is no such file. */
export async function readSmallFile(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw asError('read file', file, fault)
  }
}

/**
 * Replaces the content. Callers hold a lock, so that no one else uses the name of the temporary file; one that a crash
 * left is overwritten.
 */
export async function replaceSmallFile(file: string, content: string): Promise<void> {
  const temporary = `${file}.new`
  try {
    await synced(temporary, 'w', handle => handle.writeFile(content))
    await rename(temporary, file)
    await synced(path.dirname(file), 'r', () => Promise.resolve())
  } catch (fault) {
    await rm(temporary, { force: true }).catch(() => {})
    throw asError('replace file', file, fault)
  }
}

/**
 * Reads a file of /run, which is in memory, on this thread: the threads of Node may all be occupied. Undefined if it is
 * missing.
 */
export async function readRunFile(file: string): Promise<string | undefined> {
  try {
    return readFileSync(file, 'utf8')
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw asError('read file', file, fault)
  }
}

/** Replaces a file of /run on this thread. It need not be on a disk. */
export async function replaceRunFile(file: string, content: string): Promise<void> {
  const temporary = `${file}.new`
  try {
    writeFileSync(temporary, content, { mode: 0o600 })
    renameSync(temporary, file)
  } catch (fault) {
    throw asError('replace file', file, fault)
  }
}

async function synced(
  file: string,
  flags: 'r' | 'w',
  body: (handle: Awaited<ReturnType<typeof open>>) => Promise<void>,
): Promise<void> {
  const handle = await open(file, flags, 0o600)
  try {
    await body(handle)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function asError(operation: string, file: string, fault: unknown): DmThinError {
  const { errno = -ERRNO.EIO, message } = fault as NodeJS.ErrnoException
  return new DmThinError('DM_RECORD', `${operation} ${JSON.stringify(file)}: ${message}`, {
    operation,
    errno: Math.abs(errno),
    device: file,
    cause: fault,
  })
}
