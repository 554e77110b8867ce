// The blocks of a pool's metadata file, taken from its file system ahead: a sparse one on a full file system would make
// the kernel's writes of metadata fail, and the pool with them.
import { DmThinError, ERRNO } from '../../base/errors.js'
import type { DeviceSource } from '../../pool/lifecycle/options.js'
import { nativePort } from '../../kernel/native-port.js'

/** For a file, up to its size. A file system that cannot allocate ahead is left as it is. Rejects with `DM_POOL_FULL`. */
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
