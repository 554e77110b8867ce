// Messages that are a commit point of their caller's: a success says that the metadata on disk has it.
import { DmThinError } from '../errors.js'
import type { PoolStatusLine } from '../target/thin-pool.js'
import { explain, explained, poolStatusLine, type PoolContext } from './context.js'

/**
 * Sends a message and looks whether its commit worked: the kernel ignores the result of that (dm-thin.c pool_message). A
 * pool that could not commit has gone back to what is on disk, and needs a check or has failed. Its status line is no
 * proof otherwise: the numbers in it are those of before the going back.
 */
export async function commitMessage(context: PoolContext, text: string, signal?: AbortSignal): Promise<PoolStatusLine> {
  const { port, name, address } = context
  await explained(context, port.targetMessage(address, 0, text, signal))
  const line = await poolStatusLine(context)
  if ('transactionId' in line && !line.needsCheck) return line
  const said = `message ${JSON.stringify(text)} to ${JSON.stringify(name)}: taken, but the pool could not commit it`
  const facts = { operation: 'DM_TARGET_MSG', device: name, detail: text }
  throw await explain(context, new DmThinError('DM_KERNEL', said, facts))
}
