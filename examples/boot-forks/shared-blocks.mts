// A picture of the blocks that disks share, from the metadata of their pool.
import type { ThinPool } from 'dm-thin'
import { ThinMetadata } from 'dm-thin/metadata'

/** `base`: the block of the base layer. `shared`: of another disk too, and not of the base. `own`: of this disk alone. */
type Use = 'base' | 'shared' | 'own'

export interface Disk {
  readonly name: string
  /** The id of its volume in the pool. */
  readonly id: number
  /** The use of each mapped block, by virtual block. */
  readonly blocks: ReadonlyMap<number, Use>
}

const COLOURS: Record<Use, string> = { base: '#b6c2cf', shared: '#54aeff', own: '#cf222e' }
const LEGEND: Record<Use, string> = { base: 'of the base', shared: 'shared with another disk', own: 'of its own' }
const USES = ['base', 'shared', 'own'] as const
const [WIDTH, LEFT, ROW] = [1024, 130, 46]

/** Reads the mappings of active volumes, by the paths of their devices. The first is the base. */
export async function readDisks(pool: ThinPool, devices: ReadonlyMap<string, string>): Promise<Disk[]> {
  const volumes = await pool.volumes()
  const metadata = await ThinMetadata.open(pool)
  try {
    const mapped: { name: string; id: number; data: Map<number, number> }[] = []
    for (const [name, path] of devices) {
      const { id } = volumes.find(each => each.active && each.path === path)!
      const data = new Map<number, number>()
      for await (const { begin, length, data: first } of metadata.mappings(id))
        for (let at = 0; at < length; at += 1) data.set(begin + at, first + at)
      mapped.push({ name, id, data })
    }
    const base = mapped[0]!.data
    const users = new Map<number, number>()
    for (const { data } of mapped) for (const block of data.values()) users.set(block, (users.get(block) ?? 0) + 1)
    return mapped.map(({ name, id, data }) => {
      const use = (at: number, block: number): Use =>
        base.get(at) === block ? 'base' : users.get(block)! > 1 ? 'shared' : 'own'
      return { name, id, blocks: new Map([...data].map(([at, block]) => [at, use(at, block)])) }
    })
  } finally {
    await metadata.close()
  }
}

/** Returns the number of blocks of a use. */
export const count = (disk: Disk, use: Use): number => [...disk.blocks.values()].filter(each => each === use).length

/** Returns the text of a disk's numbers. */
export const numbersOf = (disk: Disk): string => USES.map(use => `${count(disk, use)} ${LEGEND[use]}`).join(', ')

/** Draws a row of blocks for each disk, as SVG. `length`: the size of a disk in blocks. */
export function draw(disks: readonly Disk[], length: number): string {
  const step = WIDTH / length
  const rows = disks.map((disk, row) => {
    const top = 20 + row * ROW
    const blocks = runs(disk).map(
      ({ begin, end, use }) =>
        `<rect x="${LEFT + begin * step}" y="${top}" width="${(end - begin) * step}" height="18" fill="${COLOURS[use]}"/>`,
    )
    const label = `<text x="10" y="${top + 14}">${disk.name}</text>`
    const numbers = `<text x="${LEFT}" y="${top + 33}" fill="#57606a" font-size="12">thin ${disk.id}: ${numbersOf(disk)}</text>`
    const frame = `<rect x="${LEFT}" y="${top}" width="${WIDTH}" height="18" fill="none" stroke="#57606a"/>`
    return `<g>${label}${blocks.join('')}${frame}${numbers}</g>`
  })
  const foot = 30 + disks.length * ROW
  const legend = USES.map(
    (use, at) =>
      `<rect x="${LEFT + at * 220}" y="${foot}" width="14" height="14" fill="${COLOURS[use]}"/>` +
      `<text x="${LEFT + 20 + at * 220}" y="${foot + 12}">${LEGEND[use]}</text>`,
  )
  const size = `viewBox="0 0 ${LEFT + WIDTH + 20} ${foot + 34}" font-family="sans-serif" font-size="14"`
  const title = `the blocks of ${disks.length} disks: ${disks.map(disk => `${disk.name}: ${numbersOf(disk)}`).join('; ')}`
  const open = `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${title}">`
  return [open, '<rect width="100%" height="100%" fill="#ffffff"/>', ...rows, ...legend, '</svg>', ''].join('\n')
}

/** Returns the runs of adjacent blocks of the same use. */
function runs(disk: Disk): { begin: number; end: number; use: Use }[] {
  const found: { begin: number; end: number; use: Use }[] = []
  for (const [at, use] of [...disk.blocks].sort(([one], [other]) => one - other)) {
    const last = found.at(-1)
    if (last?.end === at && last.use === use) last.end = at + 1
    else found.push({ begin: at, end: at + 1, use })
  }
  return found
}
