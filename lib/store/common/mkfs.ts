// Making a file system: the one step that starts a program, once per file system and size of a store. Replaceable.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { DmThinError } from '../../base/errors.js'
import type { LayerFileSystem } from './types.js'

export interface FormatRequest {
  readonly fileSystem: LayerFileSystem
  /** Node of the block device: `/dev/dm-7`. */
  readonly device: string
  /**
   * Whether every block that is not written reads as zeros. False on a pool that does not zero blocks
   * (`skipBlockZeroing`): the rest of a block that is written in part has what lay there before.
   */
  readonly zeroed: boolean
  readonly signal?: AbortSignal | undefined
}

/** Makes a file system on a new volume. Resolves when it is on the device. */
export type Formatter = (request: FormatRequest) => Promise<void>

/**
 * No discard: the volume is new. Of ext4's inode tables it is said that they are zero, where they are: else the kernel would
 * write them in each layer that is mounted, one by one. No blocks kept for root: a layer's size is what its
 * container may use.
 */
const COMMANDS: Readonly<Record<LayerFileSystem, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'nodiscard,assume_storage_prezeroed=1'],
  xfs: ['mkfs.xfs', '-q', '-f', '-K'],
}
/** Of e2fsprogs before 1.47, which do not know that of storage. */
const OLDER_EXT4 = ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'nodiscard,lazy_itable_init=1,lazy_journal_init=1']
/** On a pool that does not zero blocks. */
const WRITTEN_EXT4 = ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'nodiscard,lazy_itable_init=0,lazy_journal_init=0']
const PACKAGES: Readonly<Record<LayerFileSystem, string>> = { ext4: 'e2fsprogs', xfs: 'xfsprogs' }

/** `mkfs.ext4` or `mkfs.xfs` of this machine. */
export const runMkfs: Formatter = async request => {
  if (request.fileSystem === 'ext4' && !request.zeroed) return run(WRITTEN_EXT4, request)
  try {
    await run(COMMANDS[request.fileSystem], request)
  } catch (fault) {
    const unknown = fault instanceof DmThinError && /assume_storage_prezeroed|[Bb]ad option/.test(fault.message)
    if (request.fileSystem !== 'ext4' || !unknown) throw fault
    await run(OLDER_EXT4, request)
  }
}

async function run(command: readonly string[], { fileSystem, device, signal }: FormatRequest): Promise<void> {
  const [program = '', ...options] = command
  try {
    await promisify(execFile)(program, [...options, device], { signal })
  } catch (cause) {
    const { code, stderr } = cause as { code?: unknown; stderr?: string }
    const why = code === 'ENOENT' ? `not found; install ${PACKAGES[fileSystem]}` : stderr?.trim() || String(cause)
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
