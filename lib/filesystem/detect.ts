// Detection of the file system on a device or in an image.
import type { KernelOption } from '../kernel/kernel-option.js'
import { machinePortOf } from '../kernel/native-port.js'
import type { MachinePort } from '../kernel/port/machine-port.js'
import { checkOptions, checkPath, type SignalOption } from '../base/options.js'
import {
  fatPlaces,
  fatRootLabel,
  PROBE_BYTES,
  superblocksIn,
  type FileSystemType,
  type Superblock,
} from './superblocks.js'

/** The file system, volume manager or swap area that `detectFileSystem` finds on a device. */
export interface DetectedFileSystem extends Superblock {
  /**
   * Other types whose magic is also present, left by earlier contents of the device. If this is not empty, the type is
   * uncertain; wipe the other signatures.
   */
  readonly alsoFound: readonly FileSystemType[]
}

const STEP = 4096
/** The limit within the root folder of a FAT: a label after it is not found. */
const MAX_ROOT_BYTES = 64 * 1024

/**
 * Returns the contents of a block device or an image file by magic: ext2, ext3, ext4, xfs, btrfs, f2fs, vfat, swap,
 * squashfs, erofs, crypto_LUKS, LVM2_member, named as blkid names them; undefined if it is none of these (or empty).
 * Reads 68 KiB past the page cache, off the JavaScript thread. The result is data from the disk: it is not verified,
 * and recognizing a type does not make the device safe to mount.
 *
 * Rejects with `DM_FILE_MISSING`, `DM_PERMISSION`, `DM_KERNEL` (EIO, EISDIR …), `ABORT_ERR`.
 */
export async function detectFileSystem(
  path: string,
  options: KernelOption & SignalOption = {},
): Promise<DetectedFileSystem | undefined> {
  checkOptions(options, ['kernel', 'signal'], 'detectFileSystem')
  const port = machinePortOf(options.kernel, 'file systems')
  const where = checkPath('path', path)
  const [start] = await port.peek(where, [{ offsetBytes: 0, lengthBytes: PROBE_BYTES }], options.signal)
  const [found, ...others] = superblocksIn(start!)
  if (found === undefined) return undefined
  const label = found.type === 'vfat' ? await fatLabel(port, where, start!, options.signal) : undefined
  return { ...found, label: label ?? found.label, alsoFound: others.map(each => each.type) }
}

async function fatLabel(port: MachinePort, path: string, start: Uint8Array, signal?: AbortSignal) {
  const places = fatPlaces(Buffer.from(start.buffer, start.byteOffset, start.byteLength))
  if (places === undefined || places.rootBytes === 0) return undefined
  const over = places.rootAt % STEP
  const wanted = over + Math.min(places.rootBytes, MAX_ROOT_BYTES)
  const range = { offsetBytes: places.rootAt - over, lengthBytes: Math.ceil(wanted / STEP) * STEP }
  const [root] = await port.peek(path, [range], signal)
  return fatRootLabel(root!.subarray(over, wanted))
}
