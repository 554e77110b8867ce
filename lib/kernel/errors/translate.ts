// Translation of native failures into DmThinErrors: the facts unchanged, and the code that follows from operation and
// errno alone. Layers that know the pool refine the error.
import { abortError, DmThinError, ERRNO, errnoName, errnoText } from '../../base/errors.js'
import type { Classification, NativeFailure } from './native-failure.js'

const {
  EACCES,
  EBUSY,
  EEXIST,
  EFBIG,
  EINTR,
  EINVAL,
  ENODATA,
  ENODEV,
  ENOENT,
  ENOSPC,
  ENOTBLK,
  ENOTDIR,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  ERANGE,
  ETIMEDOUT,
  EXDEV,
} = ERRNO

/**
 * The log ends many reasons with the errno, as `(-EINVAL)` or, if it has no name, `(-22)`. The errno has its own field.
 */
const ERRNO_IN_REASON = / \((?:-E[A-Z0-9]+|-\d+)\)(?=;|$)/g

export function errorFromFailure(given: NativeFailure, signal?: AbortSignal): DmThinError {
  const failure = { ...given, kernelReason: given.kernelReason.replace(ERRNO_IN_REASON, '') }
  const facts = {
    errno: failure.errno,
    operation: failure.operation || undefined,
    device: failure.device || undefined,
    detail: failure.detail || undefined,
    kernelReason: failure.kernelReason || undefined,
    tries: failure.tries,
    rollback: failure.rollback,
  }
  // Only the library's own wake signal reaches the native threads, so EINTR means that the call was aborted.
  if (failure.cancelled || failure.errno === EINTR) return abortError(signal, facts)
  const { code, message, block } = classify(failure)
  return new DmThinError(code, message, { ...facts, block })
}

function classify(failure: NativeFailure): Classification {
  const { operation, errno, device, detail } = failure
  const about = device ? ` ${JSON.stringify(device)}` : ''
  const why = `${errnoName(errno)}, ${errnoText(errno)}`
  if (errno === EACCES || errno === EPERM) return permission(operation, about)
  if (operation === 'open control') return noDeviceMapper(why)
  // The node is not that of the device mapper: container engines mask nodes with /dev/null.
  if (operation.startsWith('DM_') && errno === ENOTTY) return noDeviceMapper(why)
  if (operation === 'commit') return notCommitted(failure, about)
  if (operation.startsWith('DM_')) return classifyDeviceMapper(failure, about, why)
  if (operation === 'reserve')
    return { code: 'DM_POOL_RESERVE', message: `pool${about} has less free space than the reserve` }
  if (operation === 'double activation') {
    return { code: 'DM_ALREADY_ACTIVE', message: `the volume is active already, as ${JSON.stringify(detail)}` }
  }
  if (operation === 'open loop-control' || (operation === 'LOOP_CTL_GET_FREE' && errno === ENOTTY)) {
    return {
      code: 'DM_UNAVAILABLE',
      message: `no loop devices: ${device} cannot be used (${why}); try \`modprobe loop\``,
    }
  }
  if (operation === 'attach' && errno === EEXIST) {
    return {
      code: 'DM_FILE_ATTACHED',
      message: `${device} is attached already: ${detail}; two loop devices over one file have two caches`,
    }
  }
  if (operation === 'wait for udev' && errno === ETIMEDOUT) {
    return {
      code: 'DM_UDEV_TIMEOUT',
      message: 'udev did not finish in time; the devices exist, their links may be late: see `udevadm monitor`',
    }
  }
  if (operation === 'LOOP_CLR_FD' && errno === EBUSY) {
    return { code: 'DM_BUSY', message: `${device} is held open; the kernel detaches it when its last user closes it` }
  }
  if (operation === 'create file' && (errno === EFBIG || errno === ERANGE)) {
    return {
      code: 'DM_FILE_SIZE',
      message: `${device} exists and has ${detail} bytes, which is not the requested size`,
    }
  }
  if (operation === 'ftruncate' && errno === EOPNOTSUPP) {
    return {
      code: 'DM_FILE_NO_HOLES',
      message: `the file system of ${device} has no holes: the file would be written out in full`,
    }
  }
  if (operation === 'ftruncate' && errno === ERANGE) {
    return { code: 'DM_FILE_SIZE', message: `${device} has ${detail} bytes already; files are only grown` }
  }
  const special = classifyBlock(failure, about, why) ?? classifyTree(failure) ?? classifyMetadata(failure)
  if (special) return special
  if (errno === ENOENT) return { code: 'DM_FILE_MISSING', message: `${operation}${about}: no such file or directory` }
  if (errno === EBUSY)
    return { code: 'DM_BUSY', message: `${operation}${about}${detail ? ` at ${detail}` : ''}: in use (EBUSY)` }
  return { code: 'DM_KERNEL', message: `${operation}${about}${detail ? ` (${detail})` : ''}: ${why}` }
}

function permission(operation: string, about: string): Classification {
  const message = `${operation}${about}: not permitted; device mapper, loop devices and mounts need root (CAP_SYS_ADMIN)`
  return { code: 'DM_PERMISSION', message }
}

function noDeviceMapper(why: string): Classification {
  const message = `this kernel has no device mapper: /dev/mapper/control cannot be used (${why}); try \`modprobe dm-mod\``
  return { code: 'DM_UNAVAILABLE', message }
}

/** Returns the classification of a commit that failed: native/dm/commit.h. */
function notCommitted({ errno, detail }: NativeFailure, about: string): Classification {
  const what = detail ? `message ${JSON.stringify(detail)} to${about}: accepted, but` : `commit of${about}:`
  const why =
    errno === ENOSPC
      ? 'it is read-only, perhaps out of metadata space'
      : 'it has reverted to its last commit, and needs a check (thin_check) or has failed'
  return { code: 'DM_NOT_COMMITTED', message: `${what} the pool could not commit it; ${why}` }
}

function classifyDeviceMapper(failure: NativeFailure, about: string, why: string): Classification {
  const { operation, errno, detail, kernelReason, tries } = failure
  const step = operation
    .replace(/^DM_(DEV_)?/, '')
    .toLowerCase()
    .replaceAll('_', ' ')
  if (operation === 'DM_TARGET_MSG') return classifyMessage(detail, errno, about, why)
  if (operation === 'DM_DEV_CREATE' && errno === EBUSY) {
    return { code: 'DM_NAME_TAKEN', message: `a mapped device${about} exists already` }
  }
  // dm.c alloc_dev returns only NULL for a minor in use, which dm_create turns into ENXIO.
  if (operation === 'DM_DEV_CREATE' && errno === ENXIO) {
    return { code: 'DM_NAME_TAKEN', message: `create${about}: the requested minor is in use` }
  }
  if (operation === 'DM_DEV_RENAME' && errno === EBUSY) {
    return { code: 'DM_NAME_TAKEN', message: `rename${about}: another mapped device has that name or uuid` }
  }
  if (operation === 'DM_GET_TARGET_VERSION' && errno === EINVAL) {
    const hint = `try \`modprobe dm-${failure.device}\``
    return { code: 'DM_UNAVAILABLE', message: `this kernel has no target${about}; ${hint}` }
  }
  if (operation === 'DM_DEV_REMOVE' && errno === EBUSY) {
    return {
      code: 'DM_BUSY',
      message: `remove${about}: device is busy after ${tries} ${tries === 1 ? 'try' : 'tries'}`,
    }
  }
  // A load that returns ENXIO may also refer to a device in the table; a resume cannot.
  const gone = operation === 'DM_DEV_RESUME' && errno === ENXIO
  if (!gone && (operation === 'DM_TABLE_LOAD' || operation === 'DM_DEV_RESUME')) {
    if (errno === ENODATA)
      return { code: 'DM_VOLUME_NOT_FOUND', message: `${step}${about}: the pool has no such volume (${detail})` }
    const reason = kernelReason ? `: ${kernelReason}` : ''
    const act = operation === 'DM_TABLE_LOAD' ? 'refused the table' : 'could not make the table live'
    return {
      code: 'DM_TABLE_REFUSED',
      message: `the kernel ${act} of${about}${reason} (${why})${detail && `: ${detail}`}`,
    }
  }
  if (errno === ENXIO || errno === ENODEV)
    return { code: 'DM_NOT_FOUND', message: `${step}${about}: no such mapped device` }
  return { code: 'DM_KERNEL', message: `${step}${about}: ${why}` }
}

function classifyMessage(message: string, errno: number, about: string, why: string): Classification {
  const said = `message ${JSON.stringify(message)} to${about}`
  if (errno === EEXIST) return { code: 'DM_VOLUME_EXISTS', message: `${said}: a volume with this id exists` }
  if (errno === ENODATA) return { code: 'DM_VOLUME_NOT_FOUND', message: `${said}: the pool has no such volume` }
  if (errno === ENOSPC) return { code: 'DM_POOL_FULL', message: `${said}: the pool is out of space` }
  if (errno === EOPNOTSUPP)
    return {
      code: 'DM_POOL_READ_ONLY',
      message: `${said}: the pool accepts no messages (read-only, out of metadata, or failed)`,
    }
  if (errno === EBUSY && message.startsWith('delete'))
    return { code: 'DM_VOLUME_ACTIVE', message: `${said}: the volume is active` }
  if (errno === EBUSY && message === 'reserve_metadata_snap')
    return { code: 'DM_METADATA_SNAPSHOT_HELD', message: `${said}: a metadata snapshot is held already` }
  if (errno === EINVAL && message === 'release_metadata_snap')
    return { code: 'DM_METADATA_SNAPSHOT_NOT_HELD', message: `${said}: no metadata snapshot is held` }
  if (errno === ENXIO) return { code: 'DM_NOT_FOUND', message: `${said}: no such mapped device` }
  return { code: 'DM_KERNEL', message: `${said}: ${why}` }
}

/** Operations that a device or a file system may not support. */
const MAY_BE_ABSENT = /^(BLK\w+|FI\w+|EXT4_IOC\w+|XFS_IOC\w+|grow)$/

/** Returns the classification for block devices, loop devices and mounts; undefined without a special meaning. */
function classifyBlock(failure: NativeFailure, about: string, why: string): Classification | undefined {
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

/** Returns the classification for trees of files; undefined without a special meaning. */
function classifyTree({ operation, errno, device }: NativeFailure): Classification | undefined {
  if (operation === 'tree changed') {
    const rule = 'a layer that is compared or read must not be written to'
    return { code: 'DM_LAYER_CHANGED', message: `${JSON.stringify(device)} has changed during the call: ${rule}` }
  }
  if (operation === 'tree mount' && errno === EXDEV) {
    const message = `something is mounted on ${JSON.stringify(device)}, and hides what the layer has there: unmount it first`
    return { code: 'DM_UNSUPPORTED', message }
  }
  if (operation === 'open tree' && errno === ENOTDIR) {
    return { code: 'DM_INVALID_ARGUMENT', message: `${device} is not a directory` }
  }
  return undefined
}

/** Returns the classification for the metadata of pools; undefined without a special meaning. */
function classifyMetadata({ operation, errno, detail }: NativeFailure): Classification | undefined {
  if (operation !== 'metadata' || errno !== ERRNO.EUCLEAN) return undefined
  const [, block, fault] = /^(\d+) (.*)$/s.exec(detail)!
  return { code: 'DM_METADATA_CORRUPT', message: `Metadata block ${block}: ${fault}`, block: Number(block) }
}

/** The verbs of kernel operations in messages; the name of the device or folder follows. */
const VERBS: Readonly<Record<string, string>> = {
  LOOP_CLR_FD: 'detach',
  'open block device': 'open',
  BLKDISCARD: 'discard',
  BLKSECDISCARD: 'discard securely',
  BLKZEROOUT: 'write zeros to',
  BLKRRPART: 'read the partitions of',
  FIFREEZE: 'freeze',
  FITHAW: 'thaw',
  FITRIM: 'trim',
  EXT4_IOC_RESIZE_FS: 'grow the mounted file system at',
  XFS_IOC_FSGROWFSDATA: 'grow the mounted file system at',
  grow: 'grow the mounted file system at',
  mount: 'mount',
  umount2: 'unmount',
  remount: 'remount',
  pwrite: 'write to',
}

export const verbOf = (operation: string | undefined): string | undefined => VERBS[operation ?? '']
