import { Pending } from '../../../lib/base/pending'
import { rejection, thrown } from '../../helpers/errors/thrown'

function deferred() {
  let resolve = () => {}
  let reject = (_: Error) => {}
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

test('close() waits for the calls in flight before it runs its last action', async () => {
  const order: string[] = []
  const pending = new Pending('pool demo')
  const [first, second] = [deferred(), deferred()]
  const calls = [pending.run(() => first.promise), pending.run(() => second.promise)]
  const closed = pending.close(() => void order.push('last')).then(() => order.push('closed'))
  first.resolve()
  await calls[0]
  await new Promise(setImmediate)
  expect(order).toEqual([])
  second.resolve()
  await closed
  expect(order).toEqual(['last', 'closed'])
})

test('close() waits for a call that fails, and only that call rejects with the error', async () => {
  const pending = new Pending('pool demo')
  const call = deferred()
  const running = pending.run(() => call.promise)
  const closed = pending.close()
  call.reject(new Error('refused'))
  await expect(running).rejects.toThrow('refused')
  await closed
})

test('close() runs its last action once, even if it is called repeatedly', async () => {
  let acts = 0
  const pending = new Pending('pool demo')
  const act = () => void (acts += 1)
  await Promise.all([pending.close(act), pending.close(act)])
  await pending.close(act)
  expect(acts).toBe(1)
})

test('run() rejects with DM_CLOSED after close(), and does not run its body', async () => {
  const pending = new Pending('volume 7 of pool demo')
  let begun = false
  expect(pending.closed).toBe(false)
  const closed = pending.close()
  expect(pending.closed).toBe(true)
  const error = await rejection(() => pending.run(async () => (begun = true)))
  expect(error).toMatchObject({ code: 'DM_CLOSED', message: 'volume 7 of pool demo is closed' })
  expect(begun).toBe(false)
  await closed
  expect(thrown(() => pending.check()).code).toBe('DM_CLOSED')
})

test('run() resolves with the value of its body', async () => {
  expect(await new Pending('pool demo').run(async () => 7)).toBe(7)
})
