// Tables of targets: what a caller may write, and what the compiler refuses. Compiled, never run.
import {
  defineTarget,
  linear,
  MappedDevice,
  parseTableLine,
  snapshot,
  thinPool,
  type LinearTable,
  type Segment,
  type Sized,
  type TargetLine,
} from '../../lib/entry/kernel.js'

declare const line: TargetLine

export const least: Segment = linear({ lengthSectors: 8, device: '7:0' })
export const table: LinearTable = linear.parseTable(line)
export const again: Segment = linear(table)
// @ts-expect-error a linear device has no status
export const status: string = linear.parseStatus(line)
// @ts-expect-error a misspelled option
linear({ lengthSectors: 8, device: '7:0', offset: 1 })
// @ts-expect-error a segment has a length
linear({ device: '7:0' })
// @ts-expect-error a kind that there is not
snapshot({ lengthSectors: 8, originDevice: '7:0', cowDevice: '7:1', persistent: 'X', chunkSectors: 8 })
// @ts-expect-error a pool has blocks
thinPool({ lengthSectors: 8, metadataDevice: '7:0', dataDevice: '7:1' })

interface OwnTable extends Sized {
  readonly path: string
}
export const own = defineTarget<OwnTable, { busy: boolean }>({
  type: 'own',
  options: ['path'],
  format: ({ path }) => [path],
  parseTable: reader => ({ path: reader.word('path') }),
  parseStatus: reader => ({ busy: reader.optional() === 'busy' }),
})
defineTarget<OwnTable>({
  type: 'own',
  // @ts-expect-error an option that the table does not have
  options: ['way'],
  format: ({ path }) => [path],
  // @ts-expect-error a table without its path
  parseTable: () => ({}),
})

export function read(): string | undefined {
  const parsed = parseTableLine(line, [own])
  if (parsed.kind === 'own') return parsed.table.path
  if (parsed.kind === 'linear') return parsed.table.device
  if (parsed.kind === 'striped') return parsed.table.stripes[0]?.device
  return undefined
}

export async function devices(): Promise<void> {
  const device = await MappedDevice.create({ name: 'x', table: [own({ lengthSectors: 8, path: '/' })] })
  // @ts-expect-error a table is a list
  await device.replaceTable(linear(table))
  // @ts-expect-error time is in milliseconds
  await device.remove({ timeout: 5 })
}
