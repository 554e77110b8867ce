// Allocation of the blocks of a pool's metadata file. If the file were sparse and its file system full, the kernel's
// writes of metadata would fail, and so would the pool.
import { DmThinError, ERRNO } from '../../base/errors.js'
import type { DeviceSource } from '../../pool/lifecycle/options.js'
import { nativePort } from '../../kernel/native-port.js'

/**
 * Allocates the blocks of a metadata file up to its size. Does nothing for a device, or if the file system cannot allocate
 * blocks ahead. Rejects with `DM_POOL_FULL` if the file system is full.
 */
export async function allocateMetadata({ file }: DeviceSource): Promise<void> {
  if (file === undefined) return
  try {
    await nativePort().allocateFile(file)
  } catch (fault) {
    if (!(fault instanceof DmThinError)) throw fault
    if (fault.errno === ERRNO.EOPNOTSUPP) return
    if (fault.errno !== ERRNO.ENOSPC) throw fault
    throw fault.refined('DM_POOL_FULL', `the file system of ${file} has no space for the pool's metadata`)
  }
}
