// Errors of Node's file system as errors of the library.
import { DmThinError, ERRNO } from './errors.js'

/** Returns the error of the library for an error of Node's file system, and any other error as it is. */
export function fileFault(what: string, file: string, fault: unknown): unknown {
  if (fault instanceof DmThinError) return fault
  const { errno, code, syscall, message } = fault as NodeJS.ErrnoException
  if (errno === undefined) return fault
  const facts = { errno: -errno, operation: syscall, device: file, cause: fault }
  if (code === 'ENOENT') return new DmThinError('DM_FILE_MISSING', `${what} ${file}: ${message}`, facts)
  const isDenied = -errno === ERRNO.EACCES || -errno === ERRNO.EPERM
  return new DmThinError(isDenied ? 'DM_PERMISSION' : 'DM_KERNEL', `${what} ${file}: ${message}`, facts)
}
