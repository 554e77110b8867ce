// Creation of file systems by a program, once for each type and size of file system of a store.
// Callers can replace it (`format`).
import { promisify } from 'node:util'
import { DmThinError } from '../../base/errors.js'
import type { LayerFileSystem } from './layer-types.js'

/** The arguments of a `Formatter`. */
export interface FormatRequest {
  /** The type of the file system to create. */
  readonly fileSystem: LayerFileSystem
  /** The node of the block device, such as `/dev/dm-7`. */
  readonly device: string
  /**
   * True if every block that has not been written reads as zeros. False on a pool that does not zero blocks
   * (`skipBlockZeroing`): a block that is written in part has its previous content in the rest.
   */
  readonly zeroed: boolean
  /** The signal of the call that needs the file system. If it is aborted, reject. */
  readonly signal?: AbortSignal | undefined
}

/** A function that creates a file system on a new volume. Resolves when the file system is on the device. */
export type Formatter = (request: FormatRequest) => Promise<void>

/**
 * The commands and options. Nothing is discarded, because the volume is new. ext4 assumes that its inode tables are zero;
 * otherwise the kernel would zero them in each layer after it is mounted. ext4 reserves no blocks for root, so that the
 * container can use the whole size of the layer.
 */
const COMMANDS: Readonly<Record<LayerFileSystem, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'nodiscard,assume_storage_prezeroed=1'],
  xfs: ['mkfs.xfs', '-q', '-f', '-K'],
}
/** The command for e2fsprogs before 1.47, which does not have `assume_storage_prezeroed`. */
const OLDER_EXT4 = ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'nodiscard,lazy_itable_init=1,lazy_journal_init=1']
/** The command for a pool that does not zero blocks. */
const WRITTEN_EXT4 = ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'nodiscard,lazy_itable_init=0,lazy_journal_init=0']
const PACKAGES: Readonly<Record<LayerFileSystem, string>> = { ext4: 'e2fsprogs', xfs: 'xfsprogs' }

/** Runs `mkfs.ext4` or `mkfs.xfs` of this machine. */
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
  const { execFile } = await import('node:child_process') // no start of the library loads it
  const [program = '', ...options] = command
  try {
    await promisify(execFile)(program, [...options, device], { signal })
  } catch (cause) {
    const { code, stderr } = cause as { code?: unknown; stderr?: string }
    const why = code === 'ENOENT' ? `not found; install ${PACKAGES[fileSystem]}` : stderr?.trim() || String(cause)
    throw new DmThinError(code === 'ABORT_ERR' ? 'ABORT_ERR' : 'DM_DEPENDENCY', `${program} of ${device}: ${why}`, {
      device,
      operation: program,
      cause,
    })
  }
}
