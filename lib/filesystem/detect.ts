// What file system is on a device or in an image.
import type { KernelOption } from '../kernel/kernel-option.js'
import { machinePortOf } from '../kernel/native-port.js'
import type { BlockPort } from '../kernel/port/block-port.js'
import { checkOptions, checkPath, type SignalOption } from '../base/options.js'
import {
  fatPlaces,
  fatRootLabel,
  LOOKED_AT_BYTES,
  superblocksIn,
  type FileSystemType,
  type Superblock,
} from './superblocks.js'

/** The file system, volume manager or swap area that `detectFileSystem` finds on a device. */
export interface DetectedFileSystem extends Superblock {
  /**
   * Other types whose magic is there too, left by what was on the device before. Where this is not empty nobody can
   * tell for certain which of them is the one; wipe the others.
   */
  readonly alsoFound: readonly FileSystemType[]
}

const STEP = 4096
/** The root folder of a FAT: what is behind this has no label. */
const MOST_ROOT_BYTES = 64 * 1024

/**
 * What is on a block device or in an image file, from its magic: ext2, ext3, ext4, xfs, btrfs, f2fs, vfat, swap,
 * squashfs, erofs, crypto_LUKS, LVM2_member, named as blkid names them; undefined where it is none of these (or
 * nothing). Reads 68 KiB past the page cache, off the JavaScript thread. What it gives is what the disk says: neither
 * checked nor safe to mount for that.
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
  const [start] = await port.peek(where, [{ offsetBytes: 0, lengthBytes: LOOKED_AT_BYTES }], options.signal)
  const [found, ...others] = superblocksIn(start!)
  if (found === undefined) return undefined
  const label = found.type === 'vfat' ? await fatLabel(port, where, start!, options.signal) : undefined
  return { ...found, label: label ?? found.label, alsoFound: others.map(each => each.type) }
}

async function fatLabel(port: BlockPort, path: string, start: Uint8Array, signal?: AbortSignal) {
  const places = fatPlaces(Buffer.from(start.buffer, start.byteOffset, start.byteLength))
  if (places === undefined || places.rootBytes === 0) return undefined
  const over = places.rootAt % STEP
  const wanted = over + Math.min(places.rootBytes, MOST_ROOT_BYTES)
  const range = { offsetBytes: places.rootAt - over, lengthBytes: Math.ceil(wanted / STEP) * STEP }
  const [root] = await port.peek(path, [range], signal)
  return fatRootLabel(root!.subarray(over, wanted))
}
