// The creation of a committed layer from an active one that stays in use.
import { refuseIfPoolIsFull } from './commit-check.js'
import type { CommitRequest } from './commit.js'
import { copyLayer, type Copy } from './copy.js'
import type { StoreParts } from '../engine/parts.js'
import { step } from '../common/step-channel.js'
import type { Row } from '../records/row.js'
import { parentGone, refuseTaken, stateError } from '../records/layer-lookup.js'

/** Runs `body` with the row of an active layer, and with a lease on it. Rejects if the name or one of the keys is taken. */
export async function usingActive<T>(
  parts: StoreParts,
  key: string,
  names: readonly string[],
  body: (row: Row) => Promise<T>,
): Promise<T> {
  const check = (row: Row) => {
    if (row.kind !== 'active') throw stateError(row, `only an active layer can be copied, and it is ${row.kind}`)
    for (const name of names) refuseTaken(parts.records, name)
  }
  const checked = async (row: Row) => {
    await refuseIfPoolIsFull(parts.pool)
    await parts.reserve.check()
    return body(row)
  }
  return parts.leases.using(key, checked, check)
}

/** Creates a committed layer with the content that an active layer has at one moment. */
export async function checkpoint(parts: StoreParts, key: string, request: CommitRequest): Promise<void> {
  const { points, writer, removals } = parts
  await usingActive(parts, key, [request.name], async row => {
    const copy = await copyLayer(parts, row, 'checkpoint.copy', request.signal)
    try {
      step('checkpoint.point', key)
      const transaction = await points.point()
      step('checkpoint.record', key)
      await writer.write(() => sealCopy(parts, row, copy, request, transaction))
    } catch (fault) {
      await removals.abandon([copy.row]).catch(() => {})
      throw fault
    }
  })
}

/** Makes a committed layer of the copy of a layer, inside a transaction. */
export function sealCopy(
  { records, clock }: StoreParts,
  row: Row,
  copy: Copy,
  { name, labels }: Pick<CommitRequest, 'name' | 'labels'>,
  transaction: bigint,
): void {
  refuseTaken(records, name)
  records.noteTransaction(transaction)
  const at = clock()
  const change = { key: name, kind: 'committed', state: 'ready', owner: null, labels } as const
  const { mappedBytes } = copy
  const sealed = records.update(copy.row.id, ['making'], { ...change, mappedBytes, createdAt: at, updatedAt: at })
  if (!sealed) throw stateError(row, 'this process was considered dead, and the copy was removed')
  // While the copy had no key, the layer and then its parent could be removed.
  if (row.parentKey !== sealed.parentKey) throw parentGone(row)
}
