// Detached mounts: file systems that are mounted without a mount point, so that only this process can use them.
import { existsSync } from 'node:fs'
import { type MountFlags, bitsOf } from '../../filesystem/mount.js'
import { type DmThinError, ERRNO } from '../../base/errors.js'
import { nativePort } from '../../kernel/native-port.js'
import type { LayerMount } from '../common/layer-types.js'

export interface DetachedMount {
  /**
   * The path of its root, for calls of this process. Programs that resolve this path to another one get `/`, because a
   * detached mount has no place (fs/d_path.c).
   */
  readonly path: string
  /** Unmounts the file system as soon as no file below it is open. */
  readonly close: () => Promise<void>
}

/**
 * Mounts a file system without a mount point. Returns undefined if the kernel does not support it (before 5.2), if a filter
 * of system calls forbids it, or if there is no /proc.
 */
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
