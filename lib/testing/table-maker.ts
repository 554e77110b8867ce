// The construction of a table from its lines. If a line is rejected, all devices that were opened are closed again.
import { ERRNO } from '../base/errors.js'
import type { TargetLine } from '../kernel/port/device-port.js'
import type { BlockDevice, Opener } from './block-device.js'
import type { MappedDevice, Table } from './mapped-device.js'
import { TableRefusal } from './refusal.js'
import { TARGETS, type TargetContext, type Target } from './targets.js'

/** The access of a table to other devices. `open` returns the device, or throws without a reason. */
type TableContext = Omit<TargetContext, 'open'> & { open(text: string): BlockDevice }

export function makeTable(
  device: MappedDevice,
  lines: readonly TargetLine[],
  readOnly: boolean,
  context: TableContext,
): Table {
  const opened = new Map<BlockDevice, () => void>()
  const targets: Target[] = []
  const destroy = () => {
    for (const target of targets.splice(0)) target.destroy()
    for (const close of opened.values()) close()
    opened.clear()
  }
  const opener: Opener = { kind: 'device', path: device.path, pid: 0, claim: 'mapped' }
  const open = (text: string, reason: string): BlockDevice => {
    const below = named(context, text, reason)
    if (opened.has(below)) return below
    if (below === device) throw new TableRefusal(ERRNO.EINVAL, reason)
    if (below.refuses('mapped')) throw new TableRefusal(ERRNO.EBUSY, reason)
    opened.set(below, below.open(opener))
    return below
  }
  try {
    if (lines.length === 0) throw new TableRefusal(ERRNO.EINVAL, 'table contains no targets')
    let end = 0
    for (const line of lines) {
      targets.push(makeTarget(line, end, lines.length, { ...context, open }))
      end += line.lengthSectors
    }
  } catch (fault) {
    destroy()
    throw fault
  }
  return { targets: [...targets], readOnly, below: [...opened.keys()], destroy }
}

function named(context: TableContext, text: string, reason: string): BlockDevice {
  try {
    return context.open(text)
  } catch (fault) {
    throw fault instanceof TableRefusal ? new TableRefusal(fault.errno, reason) : fault
  }
}

/** Creates a target. The checks have the order of dm-table.c dm_table_add_target. */
function makeTarget(line: TargetLine, end: number, count: number, context: TargetContext): Target {
  const refuse = (reason: string) => new TableRefusal(ERRNO.EINVAL, `${line.type}: ${reason}`)
  const known = Object.hasOwn(TARGETS, line.type) ? TARGETS[line.type] : undefined
  if (line.lengthSectors === 0) throw refuse('zero-length target')
  if (!known) throw refuse('unknown target type')
  if (line.type === 'thin-pool' && count > 1) throw refuse('target type thin-pool must appear alone in table')
  if (line.startSectors !== end) throw refuse('Gap in table')
  const words = line.parameters.split(/\s+/).filter(word => word !== '')
  try {
    return known.make(line, words, context)
  } catch (fault) {
    throw fault instanceof TableRefusal ? new TableRefusal(fault.errno, `${line.type}: ${fault.reason}`) : fault
  }
}
