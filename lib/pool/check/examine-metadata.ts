// The examination of metadata at rest: what this library reads itself, and thin_check for the rest.
import { DmThinError, hasCode } from '../../base/errors.js'
import { SECTOR_BYTES } from '../../base/units.js'
import { nativePort } from '../../kernel/native-port.js'
import type { KernelPort } from '../../kernel/port/kernel-port.js'
import { METADATA_BLOCK_BYTES, type BlockSource } from '../../metadata/block-source.js'
import type { ThinDevice } from '../../metadata/details.js'
import { listThins } from '../../metadata/reader.js'
import { classifySuperblock, FIRST_BLOCKS, type Superblock } from '../../metadata/superblock.js'
import type { RecordContent } from '../state/record.js'
import { resolvingCall, type PoolState } from './pool-states.js'
import { runTool } from './thin-tools.js'

/**
 * `quick`: reads the superblock and the list of volumes, and compares both with the sizes of the devices and with the
 * record. `full`: runs `thin_check` too, which reads all mappings and both space maps.
 */
export type CheckDepth = 'quick' | 'full'

/** Metadata that no pool uses, and what is known of its pool. */
export interface AtRest {
  readonly port: KernelPort
  /** The device, or the file. */
  readonly path: string
  readonly metadataBytes: number
  readonly dataBytes: number
  readonly record: RecordContent | undefined
  /** The transaction id that the metadata must have reached. */
  readonly transactionId: bigint | undefined
}

/** The result of an examination. */
export interface Examined {
  readonly state: PoolState
  readonly details: readonly string[]
  /** Undefined if it cannot be read. */
  readonly superblock: Superblock | undefined
  /** Undefined if the list of volumes cannot be read. */
  readonly volumes: readonly ThinDevice[] | undefined
}

/** Rejects a pool in memory, whose metadata no program can read. */
export function requireNative(port: KernelPort): void {
  if (port === nativePort()) return
  throw new DmThinError(
    'DM_UNSUPPORTED',
    'thin_check cannot read the metadata of a pool in memory: see docs/testing.md',
  )
}

export async function examine(metadata: AtRest, depth: CheckDepth, signal?: AbortSignal): Promise<Examined> {
  if (depth === 'full') requireNative(metadata.port)
  const start = await readStart(metadata, signal)
  if (!start.superblock) return { ...start, superblock: undefined, volumes: undefined }
  const { superblock } = start
  const found = (state: PoolState, details: readonly string[], volumes?: readonly ThinDevice[]): Examined => ({
    state,
    details,
    superblock,
    volumes,
  })
  const short = shortDevice(metadata, superblock)
  if (short?.state === 'metadata-short') return found('metadata-short', [short.detail])
  let volumes: ThinDevice[]
  try {
    volumes = await listThins(sourceOf(metadata, signal), { signal })
  } catch (fault) {
    if (!hasCode(fault, 'DM_METADATA_CORRUPT')) throw fault
    return found('damaged', [fault.message])
  }
  if (short) return found('data-short', [short.detail], volumes)
  const mismatches = differences(metadata, superblock, volumes)
  if (mismatches.length > 0) return found('mismatch', mismatches, volumes)
  const tool = depth === 'full' ? await checkByTool(metadata.path, signal) : undefined
  if (tool) return found(tool.state, tool.details, volumes)
  if (superblock.needsCheck) return found('needs-check', ['the needs-check flag is set'], volumes)
  return found('ok', [], volumes)
}

/** Returns a reader of the blocks of metadata at rest. */
export const sourceOf = (
  { port, path, metadataBytes }: Pick<AtRest, 'port' | 'path' | 'metadataBytes'>,
  signal?: AbortSignal,
): BlockSource => ({
  blockCount: Math.floor(metadataBytes / METADATA_BLOCK_BYTES),
  read: blocks => port.readBlocks(path, blocks, METADATA_BLOCK_BYTES, true, signal),
})

type Start =
  | { readonly superblock: Superblock }
  | { readonly superblock?: never; readonly state: PoolState; readonly details: readonly string[] }

async function readStart(metadata: AtRest, signal?: AbortSignal): Promise<Start> {
  const { path, metadataBytes } = metadata
  if (metadataBytes < METADATA_BLOCK_BYTES) {
    return { state: 'blank', details: [`${path} is smaller than a superblock`] }
  }
  const blocks = await sourceOf(metadata, signal).read(FIRST_BLOCKS) // past the end they are zero
  const first = classifySuperblock(blocks[0]!)
  if (first.kind === 'pool') return { superblock: first.superblock }
  if (first.kind === 'garbage') return { state: 'superblock-damaged', details: [first.detail] }
  const isBlank = blocks.every(block => classifySuperblock(block).kind === 'blank')
  return isBlank
    ? { state: 'blank', details: [`${path} is blank`] }
    : { state: 'superblock-damaged', details: ['the superblock is zero, and the blocks after it are not'] }
}

function shortDevice(
  { metadataBytes, dataBytes }: AtRest,
  { metadataSpaceMap, dataSpaceMap, dataBlockSizeSectors }: Superblock,
): { readonly state: 'metadata-short' | 'data-short'; readonly detail: string } | undefined {
  const metadataWanted = metadataSpaceMap.blocks * METADATA_BLOCK_BYTES
  if (metadataBytes < metadataWanted) {
    const detail = `the metadata has ${metadataWanted} bytes, its device ${metadataBytes}`
    return { state: 'metadata-short', detail }
  }
  const dataWanted = dataSpaceMap.blocks * dataBlockSizeSectors * SECTOR_BYTES
  if (dataBytes >= dataWanted) return undefined
  return { state: 'data-short', detail: `the pool has ${dataWanted} bytes of data, its device ${dataBytes}` }
}

/** Returns how the metadata differs from what is known of the pool. */
function differences(
  { record, transactionId }: AtRest,
  superblock: Superblock,
  volumes: readonly ThinDevice[],
): string[] {
  const found: string[] = []
  if (transactionId !== undefined && superblock.transactionId < transactionId) {
    found.push(`the transaction id is ${superblock.transactionId}, lower than ${transactionId}: the metadata is older`)
  }
  if (!record) return found
  const blockBytes = superblock.dataBlockSizeSectors * SECTOR_BYTES
  if (record.dataBlockBytes !== blockBytes) {
    found.push(`the data block size is ${blockBytes}, the record has ${record.dataBlockBytes}: another pool`)
  }
  const ids = new Set(volumes.map(({ id }) => id))
  const missing = [...record.volumes.keys()].filter(id => !ids.has(id))
  if (missing.length > 0) {
    found.push(`the metadata lacks the recorded volumes ${missing.join(' ')}: it is older, or of another pool`)
  }
  return found
}

/** Lines of thin_check that are no faults. */
const PROGRESS =
  /^((TRANSACTION_ID|METADATA_FREE_BLOCKS)=\d+|Checking thin metadata|(device details|mapping) tree|(meta)?data space map)$/

/** Runs thin_check. Returns undefined if it finds no fault. */
export async function checkByTool(
  path: string,
  signal?: AbortSignal,
  options: readonly string[] = [],
): Promise<{ readonly state: 'leaks' | 'damaged'; readonly details: readonly string[] } | undefined> {
  const all = await runTool('thin_check', [...options, path], path, signal)
  if (all.exitCode === 0) return undefined
  const fatal = await runTool('thin_check', ['--quiet', '--ignore-non-fatal-errors', ...options, path], path, signal)
  return { state: fatal.exitCode === 0 ? 'leaks' : 'damaged', details: all.lines.filter(line => !PROGRESS.test(line)) }
}

/** Returns the error for metadata with which a pool is not started. */
export function refused(pool: string, path: string, { state, details }: Examined): DmThinError {
  const text = `pool ${pool} was not started: its metadata on ${path} is in the state ${state} (${details.at(-1)})`
  return new DmThinError('DM_CHECK_FAILED', `${text}; call ${resolvingCall(state, pool)}`, {
    device: path,
    detail: state,
  })
}
