// Repaired metadata in another file or device, by thin_restore or thin_repair. The original is only read.
import { rm } from 'node:fs/promises'
import { DmThinError } from '../../base/errors.js'
import { SECTOR_BYTES } from '../../base/units.js'
import type { ThinDevice } from '../../metadata/details.js'
import { listThins } from '../../metadata/reader.js'
import type { Superblock } from '../../metadata/superblock.js'
import { checkByTool, sourceOf, type AtRest, type Examined } from '../check/examine-metadata.js'
import { runTool, type ThinTool } from '../check/thin-tools.js'
import { IntactVolumes } from './intact-volumes.js'
import { syncPath } from './replace-file.js'

/** The facts for metadata whose superblock cannot be read. */
export interface KnownFacts {
  readonly dataBlockBytes: number | undefined
  readonly transactionId: bigint | undefined
}

/** The repaired metadata. */
export interface Rebuilt {
  readonly by: 'thin_repair' | 'thin_restore'
  readonly volumes: readonly ThinDevice[]
}

/** Writes repaired metadata to `output`, and checks it. Rejects with `DM_REPAIR_FAILED`. */
export async function rebuild(
  metadata: AtRest,
  examined: Examined,
  known: KnownFacts,
  output: { readonly path: string; readonly sizeBytes: number; readonly xml: string },
  signal?: AbortSignal,
): Promise<Rebuilt> {
  const { superblock } = examined
  // thin_repair may take older trees, also if those of the last commit are intact: it is for metadata without these.
  const by = (await restoreLastCommit(metadata, superblock, output, signal)) ? 'thin_restore' : 'thin_repair'
  if (by === 'thin_repair') {
    await write(by, [...inputs(metadata, examined, known), '--output', output.path], metadata.path, signal)
  }
  const fault = await checkByTool(output.path, signal)
  if (fault) {
    const text = `${by} of ${metadata.path} has written metadata that thin_check rejects: ${fault.details.at(-1)}`
    throw new DmThinError('DM_REPAIR_FAILED', text, { device: metadata.path, operation: by })
  }
  await syncPath(output.path)
  const repaired = { port: metadata.port, path: output.path, metadataBytes: output.sizeBytes }
  return { by, volumes: await listThins(sourceOf(repaired, signal), { signal }) }
}

/**
 * Writes the volumes of the last commit as XML, and metadata of that. thin_dump writes mappings that volumes share once,
 * and fails if a volume is damaged. Returns false if the roots of the volumes cannot be read.
 */
async function restoreLastCommit(
  metadata: AtRest,
  superblock: Superblock | undefined,
  { path, xml }: { readonly path: string; readonly xml: string },
  signal?: AbortSignal,
): Promise<boolean> {
  if (!superblock) return false
  const from = metadata.path
  try {
    const dumped = await runTool('thin_dump', [from, '--output', xml], from, signal)
    if (dumped.exitCode !== 0) {
      const intact = await IntactVolumes.find(metadata, superblock, signal)
      if (!intact) return false
      await intact.writeXml(xml)
    }
    await write('thin_restore', ['--input', xml, '--output', path], from, signal)
    return true
  } finally {
    await rm(xml, { force: true })
  }
}

/** Returns the options of thin_repair. If it cannot read the superblock, it needs the sizes. */
function inputs(metadata: AtRest, { superblock }: Examined, known: KnownFacts): string[] {
  const options = ['--input', metadata.path]
  if (superblock) return options
  const { record } = metadata
  const dataBlockBytes = known.dataBlockBytes ?? record?.dataBlockBytes
  if (dataBlockBytes === undefined) {
    const text = `the superblock of ${metadata.path} cannot be read: pass dataBlockBytes, the data block size of the pool`
    throw new DmThinError('DM_REPAIR_FAILED', text, { device: metadata.path })
  }
  const dataBlocks = Math.floor((record?.dataBytes ?? metadata.dataBytes) / dataBlockBytes)
  options.push('--data-block-size', String(dataBlockBytes / SECTOR_BYTES), '--nr-data-blocks', String(dataBlocks))
  if (known.transactionId !== undefined) options.push('--transaction-id', String(known.transactionId))
  return options
}

/** Runs a program that writes metadata. */
export async function write(
  tool: ThinTool,
  options: readonly string[],
  metadata: string,
  signal?: AbortSignal,
): Promise<void> {
  const { exitCode, lines } = await runTool(tool, options, metadata, signal)
  if (exitCode === 0) return
  const text = `${tool} could not repair the metadata on ${metadata}: ${lines.slice(-3).join('; ')}; the original is unchanged`
  throw new DmThinError('DM_REPAIR_FAILED', text, { device: metadata, operation: tool, detail: String(exitCode) })
}
