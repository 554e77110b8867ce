// The checks before a commit: the pool accepts writes, and the file system of the layer has no errors and an empty journal. A
// committed layer is mounted read-only, so that its journal could not be replayed later.
import { DmThinError } from '../../base/errors.js'
import type { ThinPool } from '../../pool/thin-pool.js'
import type { ThinVolume } from '../../pool/volume/thin-volume.js'
import { nativePort } from '../../kernel/native-port.js'
import { withPrivateMount, mountOf, type MountPlace } from '../engine/temporary-mounts.js'
import type { Row } from '../records/row.js'

/** Rejects if the pool does not accept all writes: recent writes may be lost, without an error in their program. */
export async function refuseIfPoolIsFull(pool: ThinPool): Promise<void> {
  const { mode } = await pool.status()
  if (mode === 'rw') return
  const code = mode === 'out_of_data_space' ? 'DM_POOL_FULL' : mode === 'ro' ? 'DM_POOL_READ_ONLY' : 'DM_POOL_FAILED'
  const text = `pool ${pool.name} is in mode ${mode}: recent writes may be missing, so no layer is committed`
  throw new DmThinError(code, text, { device: pool.name })
}

/**
 * Replays the journal of a file system that was not unmounted, for example because of a loss of power. Rejects with
 * `DM_LAYER_DAMAGED` if the file system has errors. The volume must be active. Does nothing for a raw layer.
 */
export async function makeWhole(place: MountPlace, row: Row, volume: ThinVolume, signal?: AbortSignal): Promise<void> {
  if (row.raw) return
  if (row.fileSystem === 'ext4') {
    const found = await ext4State(volume.path, signal)
    if (found === undefined) return // the caller's `format` created another file system
    refuseErrors(row, found)
    if (!found.needsRecovery) return
  }
  // Mounting replays the journal. xfs is always mounted, because the state of its log is not easy to read.
  await withPrivateMount(place, mountOf(row, volume.path), async () => {}, signal)
  if (row.fileSystem === 'ext4') refuseErrors(row, await ext4State(volume.path, signal))
}

interface Ext4State {
  readonly hasErrors: boolean
  readonly needsRecovery: boolean
}

// fs/ext4/ext4.h: struct ext4_super_block.
const SUPERBLOCK = { offsetBytes: 1024, lengthBytes: 1024 }
const [MAGIC_AT, STATE_AT, INCOMPATIBLE_AT] = [0x38, 0x3a, 0x60]
const MAGIC = 0xef53
const ERROR_FS = 0x2
const RECOVER = 0x4

async function ext4State(path: string, signal?: AbortSignal): Promise<Ext4State | undefined> {
  const [found] = await nativePort().peek(path, [SUPERBLOCK], signal)
  const block = Buffer.from(found!)
  if (block.readUInt16LE(MAGIC_AT) !== MAGIC) return undefined
  return {
    hasErrors: (block.readUInt16LE(STATE_AT) & ERROR_FS) !== 0,
    needsRecovery: (block.readUInt32LE(INCOMPATIBLE_AT) & RECOVER) !== 0,
  }
}

function refuseErrors({ key }: Row, state: Ext4State | undefined): void {
  if (!state?.hasErrors) return
  const text = `layer ${JSON.stringify(key ?? '')}: its file system has recorded errors; run fsck on its device`
  throw new DmThinError('DM_LAYER_DAMAGED', text, { device: key ?? '' })
}
