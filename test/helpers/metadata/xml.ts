import type { Random } from '../random/random.js'

/** Consecutive virtual blocks mapped to consecutive data blocks. */
export interface Run {
  readonly virtual: number
  readonly data: number
  readonly length: number
}

/** A thin as `thin_restore` reads it: its mappings are runs of its own and whole shared definitions, in order. */
export interface XmlThin {
  readonly id: number
  readonly transactionId?: number
  readonly creationTime?: number
  readonly snapshottedTime?: number
  readonly parts: readonly (Run | string)[]
}

export interface XmlPool {
  readonly dataBlocks: number
  readonly transactionId?: number
  readonly time?: number
  /** Mappings several thins refer to by name; their full leaves are shared blocks in the restored trees. */
  readonly shared?: Readonly<Record<string, readonly Run[]>>
  readonly thins: readonly XmlThin[]
}

const total = (runs: readonly Run[]): number => runs.reduce((sum, run) => sum + run.length, 0)

function runXml({ virtual, data, length }: Run): string {
  return `<range_mapping origin_begin="${virtual}" data_begin="${data}" length="${length}" time="0"/>`
}

function thinXml(thin: XmlThin, shared: Readonly<Record<string, readonly Run[]>>): string[] {
  const mapped = thin.parts.reduce(
    (sum, part) => sum + (typeof part === 'string' ? total(shared[part]!) : part.length),
    0,
  )
  return [
    `<device dev_id="${thin.id}" mapped_blocks="${mapped}" transaction="${thin.transactionId ?? 0}" ` +
      `creation_time="${thin.creationTime ?? 0}" snap_time="${thin.snapshottedTime ?? 0}">`,
    ...thin.parts.map(part => (typeof part === 'string' ? `<ref name="${part}"/>` : runXml(part))),
    '</device>',
  ]
}

/** The pool in the XML that `thin_restore` takes. */
export function poolXml(pool: XmlPool): string {
  const shared = pool.shared ?? {}
  return [
    `<superblock uuid="" time="${pool.time ?? 0}" transaction="${pool.transactionId ?? 0}" version="2" ` +
      `data_block_size="128" nr_data_blocks="${pool.dataBlocks}">`,
    ...Object.entries(shared).flatMap(([name, runs]) => [`<def name="${name}">`, ...runs.map(runXml), '</def>']),
    ...pool.thins.flatMap(thin => thinXml(thin, shared)),
    '</superblock>',
  ].join('\n')
}

/**
 * A random pool. The virtual space is cut in slots; each slot of a thin is a definition shared with others, runs of
 * its own (which may map data blocks another thin maps too), or a hole.
 */
export function randomPool(random: Random, size: { thins: number; slots: number; slotBlocks: number }): XmlPool {
  let nextData = 0
  const runs = (start: number): Run[] => {
    const result: Run[] = []
    for (let virtual = start + random.below(5); virtual < start + size.slotBlocks;) {
      const length = Math.min(1 + random.below(random.chance(20) ? 400 : 8), start + size.slotBlocks - virtual)
      const reuse = nextData > 1000 && random.chance(25)
      const data = reuse ? random.below(nextData - length) : nextData
      result.push({ virtual, data, length })
      if (!reuse) nextData += length + random.below(3)
      virtual += length + random.below(4)
    }
    return result
  }
  const shared: Record<string, readonly Run[]> = {}
  for (let slot = 0; slot < size.slots; slot++) shared[`slot${slot}`] = runs(slot * size.slotBlocks)

  const thins: XmlThin[] = []
  for (let id = random.below(3); thins.length < size.thins; id += 1 + random.below(1000)) {
    const parts: (Run | string)[] = []
    for (let slot = 0; slot < size.slots; slot++) {
      if (random.chance(55)) parts.push(`slot${slot}`)
      else if (random.chance(60)) parts.push(...runs(slot * size.slotBlocks))
    }
    thins.push({
      id,
      transactionId: random.below(1000),
      creationTime: random.below(50),
      snapshottedTime: random.below(50),
      parts,
    })
  }
  return { dataBlocks: nextData + 1000, transactionId: random.below(100000), time: 50, shared, thins }
}
