// Errors of a layer's archive, and the translation of kernel errors for its entries.
import { DmThinError, ERRNO, type ErrorFacts } from '../../base/errors.js'

/** Formats a name for a message. `bytes` has one character for each byte; most names are UTF-8. */
export const readable = (bytes: string): string => JSON.stringify(Buffer.from(bytes, 'latin1').toString('utf8'))

export const malformed = (message: string, facts: ErrorFacts = {}): DmThinError =>
  new DmThinError('DM_LAYER_TAR', message, facts)

export const beyond = (message: string): DmThinError => new DmThinError('DM_LAYER_LIMIT', message)

const { EBUSY, EEXIST, EFBIG, EINVAL, ENOENT, ENOSPC, EOPNOTSUPP, EPERM, ERANGE } = ERRNO
const [E2BIG, EXDEV, ENOTDIR, EISDIR, EMLINK, ENAMETOOLONG, ENOSYS, ENOTEMPTY, ELOOP, EDQUOT] = [
  7, 18, 20, 21, 31, 36, 38, 39, 40, 122,
]

/** The errnos that refer to an entry, and not to the whole file system. */
const OF_THE_ENTRY = new Set([
  E2BIG,
  EEXIST,
  EFBIG,
  EINVAL,
  EISDIR,
  ELOOP,
  EMLINK,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EOPNOTSUPP,
  ERANGE,
  EXDEV,
])

/** Refines the error of a tree function to the code for a layer. Returns other errors unchanged. */
export function layerError(fault: unknown): unknown {
  if (!(fault instanceof DmThinError) || fault.errno === undefined || fault.code === 'ABORT_ERR') return fault
  const { errno, operation } = fault
  if (operation === 'open' || operation === 'read') return fault // of the file that contains the archive
  const entry = fault.device === undefined ? 'an entry' : `entry ${JSON.stringify(fault.device)}`
  if (errno === ENOSPC || errno === EDQUOT) {
    return fault.refined('DM_LAYER_SPACE', `no space is left for the layer's files, at ${entry}`)
  }
  if (operation === 'openat2' && (errno === ENOSYS || (errno === EPERM && fault.device === undefined))) {
    const rule = 'unpacking needs openat2(2), of Linux 5.6 or later'
    return fault.refined('DM_UNSUPPORTED', `this kernel has no openat2: ${rule}`)
  }
  if (operation === 'open tree') {
    return errno === ENOTDIR
      ? fault.refined('DM_INVALID_ARGUMENT', `root ${JSON.stringify(fault.device)} is not a directory`)
      : fault
  }
  if (operation === 'entries') {
    return fault.refined('DM_LAYER_LIMIT', `the layer has more entries than maxEntries, at ${entry}`)
  }
  if (operation === 'memory') {
    return fault.refined('DM_LAYER_LIMIT', `the layer takes more memory than maxMemoryBytes, at ${entry}`)
  }
  // A hard link to a directory, and an attribute that only regular files can have, also result in EPERM.
  const refusedForGood = errno === EPERM && (operation === 'link' || operation === 'setxattr')
  if (errno === EBUSY || refusedForGood || OF_THE_ENTRY.has(errno)) {
    const why = fault.detail === undefined ? '' : ` (${fault.detail})`
    return fault.refined('DM_LAYER_TAR', `${entry} cannot be created${why}: ${fault.message}`)
  }
  return fault
}
