// The check of metadata, as far as reading its volumes and mappings shows faults.
import { hasCode } from '../../base/errors.js'
import type { ThinDevice } from '../../metadata/details.js'
import type { Superblock } from '../../metadata/superblock.js'
import type { CountedMappings } from './metadata-reads.js'

/** A fault that `check` has found. */
export interface MetadataFinding {
  /**
   * `corrupt`: a block violates the format, so that the volume cannot be read. `volumes`: a volume is in one of the two
   * trees of volumes only. `count`: a count in the metadata is not what the mappings give.
   */
  readonly kind: 'corrupt' | 'volumes' | 'count'
  /** The id of the volume; undefined if the fault is not of a single volume. */
  readonly volume: number | undefined
  /** The corrupt block, in units of 4096 bytes; undefined for other kinds. */
  readonly block: number | undefined
  /** The fault, for people. */
  readonly detail: string
}

/** The reads that a check needs. Each throws `DM_METADATA_CORRUPT` for a fault that it meets. */
export interface Checked {
  readonly superblock: Superblock
  /** True if the counts of the superblock are of the state that is read: not of a metadata snapshot, nor with one. */
  readonly isWhole: boolean
  devices(): Promise<ThinDevice[]>
  /** Returns the roots of the mapping trees, by id. */
  roots(): Promise<Map<number, number>>
  /** Returns the mappings of all volumes, in the order of the roots, and the number of data blocks that are mapped. */
  usage(roots: readonly number[]): Promise<CountedMappings>
  /** Returns the mappings of one volume. */
  count(id: number): Promise<number>
}

export async function checkMetadata(checked: Checked): Promise<MetadataFinding[]> {
  const findings: MetadataFinding[] = []
  const note = (kind: MetadataFinding['kind'], detail: string, volume?: number, block?: number) =>
    void findings.push({ kind, volume, block, detail })
  const intact = async <T>(body: () => Promise<T>, volume?: number): Promise<T | undefined> => {
    try {
      return await body()
    } catch (fault) {
      if (!hasCode(fault, 'DM_METADATA_CORRUPT')) throw fault
      note('corrupt', fault.message, volume, fault.block)
      return undefined
    }
  }

  const devices = await intact(() => checked.devices())
  const roots = await intact(() => checked.roots())
  if (!roots) return findings
  if (devices) compareVolumes(devices, roots, note)

  const counted = new Map<number, number>()
  const whole = await intact(() => checked.usage([...roots.values()]))
  if (whole) [...roots.keys()].forEach((id, at) => counted.set(id, whole.volumes[at]!.mapped))
  // A block is corrupt: each volume by itself, to name those that it belongs to.
  else for (const id of roots.keys()) await intact(async () => counted.set(id, await checked.count(id)), id)

  for (const { id, mappedBlocks } of devices ?? []) {
    const mapped = counted.get(id)
    if (mapped !== undefined && mapped !== mappedBlocks)
      note('count', `volume ${id} has ${mapped} mappings, its details say ${mappedBlocks}`, id)
  }
  const { allocated } = checked.superblock.dataSpaceMap
  if (whole && checked.isWhole && whole.dataBlocks !== allocated)
    note('count', `${whole.dataBlocks} data blocks are mapped, the space map has allocated ${allocated}`)
  return findings
}

function compareVolumes(
  devices: readonly ThinDevice[],
  roots: ReadonlyMap<number, number>,
  note: (kind: 'volumes', detail: string, volume: number) => void,
): void {
  const ids = new Set(devices.map(({ id }) => id))
  for (const id of ids) if (!roots.has(id)) note('volumes', `volume ${id} has details, but no mapping tree`, id)
  for (const id of roots.keys())
    if (!ids.has(id)) note('volumes', `volume ${id} has a mapping tree, but no details`, id)
}
