// Making a file system: the one step that starts a program, once per file system and size of a store. Replaceable.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { DmThinError } from '../errors.js'
import type { LayerFileSystem } from './types.js'

export interface FormatRequest {
  readonly fileSystem: LayerFileSystem
  /** Node of the block device: `/dev/dm-7`. */
  readonly device: string
  readonly signal?: AbortSignal | undefined
}

/** Makes a file system on a device that reads as zeros. Resolves when it is on the device. */
export type Formatter = (request: FormatRequest) => Promise<void>

/**
 * No discard: the volume is new. The inode tables of ext4 are left to the kernel: what is not written takes no blocks.
 * No blocks kept for root: a layer's size is what its container may use.
 */
const COMMANDS: Readonly<Record<LayerFileSystem, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'nodiscard,lazy_itable_init=1,lazy_journal_init=1'],
  xfs: ['mkfs.xfs', '-q', '-f', '-K'],
}
const PACKAGES: Readonly<Record<LayerFileSystem, string>> = { ext4: 'e2fsprogs', xfs: 'xfsprogs' }

/** `mkfs.ext4` or `mkfs.xfs` of this machine. */
export const runMkfs: Formatter = async ({ fileSystem, device, signal }) => {
  const [program = '', ...options] = COMMANDS[fileSystem]
  try {
    await promisify(execFile)(program, [...options, device], { signal })
  } catch (cause) {
    const { code, stderr } = cause as { code?: unknown; stderr?: string }
    const why = code === 'ENOENT' ? `not found; install ${PACKAGES[fileSystem]}` : (stderr?.trim() ?? String(cause))
    throw new DmThinError(
      code === 'ABORT_ERR' ? 'ABORT_ERR' : 'DM_STORE_DEPENDENCY',
      `${program} of ${device}: ${why}`,
      {
        device,
        operation: program,
        cause,
      },
    )
  }
}
