// The pool's transaction id: a number for the owner's bookkeeping, compared and set by the kernel.
import { DmThinError, ERRNO } from '../../base/errors.js'
import { checkOptions, type SignalOption, invalid, shown } from '../../base/options.js'
import { message } from '../../target/messages.js'
import { commitMessage } from './commit-point.js'
import { poolStatusLine, type PoolContext } from './context.js'

/** Options of `ThinPool.setTransactionId`. */
export interface SetTransactionIdOptions extends SignalOption {
  /** The pool's present id as far as the caller knows, 0n to 2^64-1. */
  readonly currentId: bigint
  /** The new id, 0n to 2^64-1. */
  readonly newId: bigint
}

type Ids = Pick<SetTransactionIdOptions, 'currentId' | 'newId'>

export function checkTransactionIds(options: SetTransactionIdOptions): Ids {
  checkOptions(options, ['currentId', 'newId', 'signal'], 'setTransactionId')
  return {
    currentId: checkTransactionId('currentId', options.currentId),
    newId: checkTransactionId('newId', options.newId),
  }
}

export async function setTransactionId(
  context: PoolContext,
  { currentId, newId }: Ids,
  signal?: AbortSignal,
): Promise<void> {
  const text = message.setTransactionId(currentId, newId)
  await commitMessage(context, text, signal).catch(async (fault: unknown) => {
    throw fault instanceof DmThinError ? await mismatch(context, currentId, fault) : fault
  })
}

/** Refines the kernel's EINVAL, which does not contain the present id. */
async function mismatch(context: PoolContext, currentId: bigint, fault: DmThinError): Promise<DmThinError> {
  if (fault.errno !== ERRNO.EINVAL) return fault
  const line = await poolStatusLine(context).catch(() => undefined)
  if (!line || !('transactionId' in line) || line.transactionId === currentId) return fault
  const text = `the transaction id of pool ${context.name} is ${line.transactionId}, and not ${currentId}`
  return fault.refined('DM_TRANSACTION_MISMATCH', text, { detail: String(line.transactionId) })
}

export function checkTransactionId(name: string, value: unknown): bigint {
  if (typeof value === 'bigint' && value >= 0n && value < 2n ** 64n) return value
  throw invalid(`${name} must be a bigint from 0n to 2^64-1, but is ${shown(value)}`)
}
