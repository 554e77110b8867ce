// Lookup of rows by the key of a layer, and the errors for invalid keys and states.
import { DmThinError } from '../../base/errors.js'
import { invalid } from '../../base/options.js'
import type { Records } from './records.js'
import type { Row } from './row.js'

/** Returns the row of a layer. Throws `DM_LAYER_NOT_FOUND` if it does not exist, or is being created. */
export function visible(records: Records, key: string): Row {
  const row = records.byKey(key)
  if (row && row.state !== 'making') return row
  throw new DmThinError('DM_LAYER_NOT_FOUND', `there is no layer ${JSON.stringify(key)}`, { device: key })
}

/** Returns the row of a layer that no call is changing. Throws `DM_LAYER_STATE` if it is being committed or reset. */
export function readyRow(records: Records, key: string): Row {
  const row = visible(records, key)
  if (row.state === 'ready') return row
  throw stateError(row, 'another call is committing or resetting it')
}

/** Returns the row of a committed layer that is to be the parent of another. */
export function committedRow(records: Records, key: string): Row {
  const parent = records.byKey(key)
  if (!parent || parent.state === 'making') {
    throw new DmThinError('DM_LAYER_NOT_FOUND', `there is no parent ${JSON.stringify(key)}`, { device: key })
  }
  if (parent.kind !== 'committed') throw invalid(`the parent ${JSON.stringify(key)} is not committed: ${parent.kind}`)
  if (parent.state !== 'ready') throw stateError(parent, `it is ${parent.state}`)
  return parent
}

export function refuseTaken(records: Records, key: string): void {
  if (!records.has(key)) return
  throw new DmThinError('DM_LAYER_EXISTS', `there is a layer ${JSON.stringify(key)} already`, { device: key })
}

export const stateError = (row: Pick<Row, 'key'>, why: string): DmThinError =>
  new DmThinError('DM_LAYER_STATE', `layer ${JSON.stringify(row.key)}: ${why}`, { device: row.key ?? '' })

export function hasChildren(key: string, child: Row): DmThinError {
  const text = `cannot remove layer ${JSON.stringify(key)}: it has children, as ${JSON.stringify(child.key)}`
  return new DmThinError('DM_LAYER_HAS_CHILDREN', text, { device: key, detail: child.key ?? '' })
}

export const parentGone = ({ parentKey }: Pick<Row, 'parentKey'>): DmThinError =>
  new DmThinError('DM_LAYER_NOT_FOUND', `the parent ${JSON.stringify(parentKey)} was removed meanwhile`, {
    device: parentKey,
  })
