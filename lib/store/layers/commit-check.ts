// Whether a layer that is to be committed is whole: its pool takes writes, and its file system has no errors and nothing
// left in its journal. A committed layer is mounted read-only, where a journal cannot be replayed.
import { DmThinError } from '../../base/errors.js'
import type { ThinPool } from '../../pool/thin-pool.js'
import type { ThinVolume } from '../../pool/volume/thin-volume.js'
import { nativePort } from '../../kernel/native-port.js'
import { mountedInside, mountOf, type MountPlace } from '../engine/temporary-mounts.js'
import type { Row } from '../records/row.js'

/** Throws where the pool does not take all writes: what was written last may be lost, and nobody was told. */
export async function refuseIfPoolIsFull(pool: ThinPool): Promise<void> {
  const { mode } = await pool.status()
  if (mode === 'rw') return
  const code = mode === 'out_of_data_space' ? 'DM_POOL_FULL' : mode === 'ro' ? 'DM_POOL_READ_ONLY' : 'DM_POOL_FAILED'
  const text = `pool ${pool.name} is in mode ${mode}: what was written last may not be on it, so no layer is committed`
  throw new DmThinError(code, text, { device: pool.name })
}

/**
 * Refuses a file system that has errors (`DM_LAYER_DAMAGED`), and replays the journal of one that was not unmounted, as
 * after a loss of power. The volume is active. A raw layer is not looked into.
 */
export async function makeWhole(place: MountPlace, row: Row, volume: ThinVolume, signal?: AbortSignal): Promise<void> {
  if (row.raw) return
  if (row.fileSystem === 'ext4') {
    const found = await ext4State(volume.path, signal)
    if (found === undefined) return // the caller's formatter made something else
    refuseErrors(row, found)
    if (!found.needsRecovery) return
  }
  // The log of xfs says nothing of itself that is easy to read.
  await mountedInside(place, mountOf(row, volume.path), async () => {}, signal)
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
