// mount(2) and umount2(2), off the JavaScript thread.
import path from 'node:path'
import { DmThinError } from '../errors.js'
import type { KernelOption } from '../kernel/kernel.js'
import { portOf } from '../kernel/native-port.js'
import { checkBoolean, checkOptions, checkPath, checkText } from '../names.js'

export interface MountOptions extends KernelOption {
  /** The block device. */
  readonly source: string
  /** An existing folder. */
  readonly target: string
  /** The file system's name for the kernel: `ext4`, `xfs` … */
  readonly type: string
  /** MS_RDONLY. Default false. */
  readonly readOnly?: boolean
  /** MS_NOATIME. Default false. */
  readonly noAtime?: boolean
  /** The file system's own options, comma separated: `nouuid` for a second xfs of the same origin. */
  readonly data?: string
  readonly signal?: AbortSignal
}

export interface UnmountOptions extends KernelOption {
  /** MNT_DETACH: out of sight at once, let go at the last use. Default false. */
  readonly lazy?: boolean
  readonly signal?: AbortSignal
}

const MS_RDONLY = 0x1
const MS_NOATIME = 0x400
const MNT_DETACH = 0x2
const UMOUNT_NOFOLLOW = 0x8

/**
 * Mounts a file system. Waits for the kernel (journal replay can take long), not in JavaScript.
 * Rejects with `DM_BUSY` (mounted there already), `DM_FILE_MISSING`, `DM_PERMISSION`, `DM_KERNEL` (the file system's
 * own refusal, in `errno`), `DM_INVALID_ARGUMENT`.
 */
export async function mount(options: MountOptions): Promise<void> {
  checkOptions(options, ['source', 'target', 'type', 'readOnly', 'noAtime', 'data', 'kernel', 'signal'], 'mount')
  const flags =
    (checkBoolean('readOnly', options.readOnly) ? MS_RDONLY : 0) |
    (checkBoolean('noAtime', options.noAtime) ? MS_NOATIME : 0)
  const request = {
    source: checkPath('source', options.source),
    target: path.resolve(checkPath('target', options.target)),
    type: checkPath('type', options.type),
    flags,
    data: checkText('data', options.data ?? ''),
  }
  await portOf(options.kernel).mount(request, options.signal)
}

/** Unmounts what is mounted at `target`. Rejects with `DM_BUSY` while a file below it is in use. */
export async function unmount(target: string, options: UnmountOptions = {}): Promise<void> {
  checkOptions(options, ['lazy', 'kernel', 'signal'], 'unmount')
  const where = path.resolve(checkPath('target', target))
  const flags = UMOUNT_NOFOLLOW | (checkBoolean('lazy', options.lazy) ? MNT_DETACH : 0)
  try {
    await portOf(options.kernel).unmount(where, flags, options.signal)
  } catch (fault) {
    if (fault instanceof DmThinError && fault.code === 'DM_BUSY') {
      throw fault.refined('DM_BUSY', `unmount ${where}: a file or folder below it is in use`)
    }
    throw fault
  }
}
