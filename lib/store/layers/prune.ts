// Selection of committed layers that are not needed: no active layer or view has them as ancestor, and no label, option or
// lease keeps them.
import type { StoreParts } from '../engine/parts.js'
import { infoOf, type Row } from '../records/row.js'
import { unfinished } from '../engine/unfinished.js'
import { checkBoolean, checkOptions, checkNumber, invalid } from '../../base/options.js'
import type { LayerInfo } from '../common/layer-types.js'

/** The label that keeps a layer and its ancestors, whatever its value is. */
const KEEP_LABEL = 'dm-thin/keep'
/** The label that keeps a layer and its ancestors until a time, such as `2030-01-01T00:00:00Z`. */
const KEEP_UNTIL_LABEL = 'dm-thin/keep-until'

/** Options of `LayerStore.prune`. */
export interface PruneOptions {
  /** Returns the layers that would be removed, and removes nothing. Default false. */
  readonly dryRun?: boolean
  /** Keys of committed layers to keep, with their ancestors. Default none. */
  readonly keep?: readonly string[]
  /** The maximum number of layers to remove. Default: all that are not needed. */
  readonly most?: number
}

/** Returns the layers that can be removed, in the order of removal: the oldest first, a child before its parent. */
export async function prunable(
  parts: Pick<StoreParts, 'records' | 'owner' | 'leases'>,
  options: PruneOptions,
): Promise<LayerInfo[]> {
  checkOptions(options, ['dryRun', 'keep', 'most'], 'prune')
  checkBoolean('dryRun', options.dryRun)
  const { keep = [], most = Number.MAX_SAFE_INTEGER } = options
  checkNumber('most', most, { min: 0 })
  if (!Array.isArray(keep)) throw invalid('keep must be a list of keys')
  const named = new Set<string>(keep)
  const leased = new Set((await parts.leases.living()).map(({ thin }) => thin))
  const dead = new Set((await unfinished(parts)).map(({ id }) => id))
  const rows = parts.records.all()
  const now = Date.now()
  // A layer that is being made has no key yet, but needs its ancestors.
  const isMade = (row: Row) => row.state === 'making' && !dead.has(row.id)
  const isNeeded = (row: Row) =>
    row.kind !== 'committed' || named.has(row.key!) || isKept(row, now) || leased.has(row.thin)
  const needed = withAncestors(
    rows.filter(row => (row.key === null ? isMade(row) : isNeeded(row))),
    rows,
  )
  const free = rows.filter(row => row.key !== null && !needed.has(row.id))
  return leavesFirst(free).slice(0, most).map(infoOf)
}

function isKept({ labels }: Row, now: number): boolean {
  if (labels[KEEP_LABEL] !== undefined) return true
  const until = labels[KEEP_UNTIL_LABEL]
  if (until === undefined) return false
  const end = Date.parse(until)
  return Number.isNaN(end) || end > now // a time that cannot be parsed keeps the layer, which is the safe choice
}

function withAncestors(roots: readonly Row[], rows: readonly Row[]): Set<number> {
  const byId = new Map(rows.map(row => [row.id, row]))
  const needed = new Set<number>()
  for (const root of roots) {
    for (let row: Row | undefined = root; row && !needed.has(row.id);) {
      needed.add(row.id)
      row = row.parentId === null ? undefined : byId.get(row.parentId)
    }
  }
  return needed
}

/** Orders the rows: repeatedly takes the oldest of those that have no children left. */
function leavesFirst(rows: readonly Row[]): Row[] {
  const left = new Map(rows.map(row => [row.id, row]))
  const children = new Map<number, number>()
  for (const { parentId } of rows) if (parentId !== null) children.set(parentId, (children.get(parentId) ?? 0) + 1)
  const older = (a: Row, b: Row) => (a.updatedAt < b.updatedAt ? -1 : a.updatedAt > b.updatedAt ? 1 : a.id - b.id)
  const leaves = rows.filter(row => !children.has(row.id)).sort(older)
  const order: Row[] = []
  for (let row = leaves.shift(); row; row = leaves.shift()) {
    order.push(row)
    const parent = row.parentId === null ? undefined : left.get(row.parentId)
    const count = parent && children.get(parent.id)! - 1
    if (!parent || count === undefined) continue
    children.set(parent.id, count)
    if (count > 0) continue
    const at = leaves.findIndex(leaf => older(parent, leaf) < 0)
    leaves.splice(at < 0 ? leaves.length : at, 0, parent)
  }
  return order
}
