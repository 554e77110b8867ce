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

test('close waits for what is under way, then does its last act', async () => {
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

test('a call that fails is waited for too, and its fault is its caller’s only', async () => {
  const pending = new Pending('pool demo')
  const call = deferred()
  const running = pending.run(() => call.promise)
  const closed = pending.close()
  call.reject(new Error('refused'))
  await expect(running).rejects.toThrow('refused')
  await closed
})

test('however often it is closed, the last act is done once', async () => {
  let acts = 0
  const pending = new Pending('pool demo')
  const act = () => void (acts += 1)
  await Promise.all([pending.close(act), pending.close(act)])
  await pending.close(act)
  expect(acts).toBe(1)
})

test('after close nothing new begins', async () => {
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

test('a call gives what its body gives', async () => {
  expect(await new Pending('pool demo').run(async () => 7)).toBe(7)
})
