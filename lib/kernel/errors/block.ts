// Classification of errors of block devices, loop devices and mounted file systems.
import { ERRNO } from '../../base/errors.js'
import type { NativeFailure, Classification } from './native-failure.js'
import { verbOf } from './verbs.js'

const { EBUSY, EINVAL, ENOTBLK, ENOTTY, EOPNOTSUPP, ERANGE } = ERRNO

/** Operations that a device or a file system may not support. */
const MAY_BE_ABSENT = /^(BLK\w+|FI\w+|EXT4_IOC\w+|XFS_IOC\w+|grow)$/

/** Returns the classification; undefined if operation and errno have no special meaning. */
export function classifyBlock(failure: NativeFailure, about: string, why: string): Classification | undefined {
  const { operation, errno, device, detail } = failure
  if (operation === 'range' && errno === ERANGE) {
    return {
      code: 'DM_INVALID_ARGUMENT',
      message: `the range ends after the end of ${device}, which has ${detail} bytes`,
    }
  }
  if (operation === 'open block device' && errno === ENOTBLK) {
    return { code: 'DM_INVALID_ARGUMENT', message: `${device} is not a block device` }
  }
  if (operation === 'LOOP_CHANGE_FD' && errno === EINVAL) {
    const rule = 'only the file of a read-only loop device can be replaced, and only by one of the same size'
    return { code: 'DM_INVALID_ARGUMENT', message: `${device} cannot change to ${detail}: ${rule}` }
  }
  if (operation === 'FIFREEZE' && errno === EBUSY) {
    return { code: 'DM_BUSY', message: `the file system at ${device} is frozen already` }
  }
  if (operation === 'FITHAW' && errno === EINVAL) {
    return { code: 'DM_KERNEL', message: `the file system at ${device} is not frozen (${why})` }
  }
  // A device without partitions returns EINVAL; one that does not know the call, ENOTTY.
  const unknown = errno === EOPNOTSUPP || errno === ENOTTY || (operation === 'BLKRRPART' && errno === EINVAL)
  const verb = verbOf(operation)
  if (!unknown || verb === undefined || !MAY_BE_ABSENT.test(operation)) return undefined
  return { code: 'DM_UNSUPPORTED', message: `cannot ${verb}${about}: ${operation} is not supported (${detail || why})` }
}
