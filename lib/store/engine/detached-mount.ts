// File systems mounted for the store alone, where no name leads to them.
import { existsSync } from 'node:fs'
import { type MountFlags, bitsOf } from '../../filesystem/mount.js'
import { type DmThinError, ERRNO } from '../../base/errors.js'
import { nativePort } from '../../kernel/native-port.js'
import type { LayerMount } from '../common/types.js'

export interface DetachedMount {
  /**
   * Its root, for calls of this process. Not for programs that make a path of it: /proc names no place for it, and gives
   * `/` (fs/d_path.c).
   */
  readonly path: string
  /** Unmounts it, unless something below it is open still. */
  readonly close: () => Promise<void>
}

/** Undefined where the kernel cannot (before 5.2) or a filter of system calls keeps it from it, or there is no /proc. */
export async function mountDetached(
  { type, source, options }: LayerMount,
  given: MountFlags,
  signal?: AbortSignal,
): Promise<DetachedMount | undefined> {
  const { set: flags } = bitsOf({ ...given, readOnly: options.includes('ro') })
  const data = options.filter(option => option !== 'ro').join(',')
  const port = nativePort()
  const mounted = await port.mountDetached({ type, source, flags, data }, signal).catch(unlessUnknown)
  if (!mounted) return undefined
  const close = () => port.release(mounted.handle)
  if (existsSync(mounted.path)) return { path: mounted.path, close }
  await close()
  return undefined
}

function unlessUnknown(fault: unknown): undefined {
  const { errno } = fault as DmThinError
  if (errno !== ERRNO.ENOSYS && errno !== ERRNO.EPERM) throw fault
  return undefined
}
