// Keys of crypt and integrity are shown to nobody who traces calls, whether or not the caller said that they are secret.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { DmThinError } from '../../../lib/base/errors.js'
import { traced, type CallMessage } from '../../../lib/kernel/trace/diagnostics.js'

const KEY = '00112233445566778899aabbccddeeff'
const line = (type: string, parameters: string) => ({ startSectors: 0, lengthSectors: 8, type, parameters })
const CRYPT = line('crypt', `aes-cbc-essiv:sha256 ${KEY} 0 /dev/loop0 0`)
const INTEGRITY = line('integrity', `/dev/loop0 0 4 J 1 internal_hash:hmac(sha256):${KEY}`)

async function heard(run: () => Promise<unknown>): Promise<string> {
  const messages: unknown[] = []
  const listener = (message: unknown) => void messages.push(message)
  const names = ['start', 'asyncEnd', 'error'].map(event => `tracing:dm-thin:call:${event}`)
  for (const name of names) subscribe(name, listener)
  await run().catch(() => {})
  for (const name of names) unsubscribe(name, listener)
  expect(messages.length).toBeGreaterThan(1)
  return JSON.stringify(
    messages.map(message => ({ ...(message as CallMessage), error: String((message as CallMessage).error) })),
  )
}

const CALLS: [call: string, args: readonly unknown[]][] = [
  ['tableLoad', [{ name: 'a' }, [CRYPT], 0]],
  ['tableLoad', [{ name: 'a' }, [INTEGRITY], 0]],
  ['activate', [null, { name: 'a', uuid: '', table: [CRYPT] }, 0]],
  ['activateMany', [null, [{ name: 'a', uuid: '', table: [CRYPT] }], 0]],
  ['targetMessage', [{ name: 'a' }, 0, `key set ${KEY}`, 0]],
  ['targetMessages', [{ name: 'a' }, 0, [`key set ${KEY}`]]],
]

test.each(CALLS)('the trace of %s with %j does not contain the key', async (call, args) => {
  const text = await heard(() => traced(call, args, () => Promise.resolve(0)))
  expect(text).not.toContain(KEY)
  expect(text).toContain('…')
})

test('the trace of a table that is read does not contain the key, which the caller still receives', async () => {
  const table = [CRYPT]
  let given: unknown
  const text = await heard(async () => (given = await traced('tableStatus', [{ name: 'a' }, 16], async () => table)))
  expect(text).not.toContain(KEY)
  expect(given).toBe(table)
})

test('the trace of an error does not contain the key', async () => {
  const fault = new DmThinError('DM_TABLE_REFUSED', `refused: crypt ${CRYPT.parameters}`, { detail: CRYPT.parameters })
  const text = await heard(() => traced('activate', [null, { table: [CRYPT] }], () => Promise.reject(fault)))
  expect(text).not.toContain(KEY)
  expect(text).toContain('refused')
})
