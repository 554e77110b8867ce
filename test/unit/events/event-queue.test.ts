import { EventQueue, MAX_UNREAD, type Overflow } from '../../../lib/events/event-queue'

interface Event {
  readonly about: string
  readonly count: number
  readonly alone?: boolean
}

const make = (onReturn = () => {}) =>
  new EventQueue<Event>(
    {
      subjectOf: event => event.about,
      merge: (earlier, later) =>
        earlier.alone || later.alone ? undefined : { ...later, count: earlier.count + later.count },
    },
    onReturn,
  )
const drain = async (queue: EventQueue<Event>) => {
  queue.end()
  const all: (Event | Overflow)[] = []
  for await (const event of queue) all.push(event)
  return all
}

test('a waiting reader gets each event in order', async () => {
  const queue = make()
  const reads = [queue.next(), queue.next(), queue.next()]
  queue.push({ about: 'a', count: 1 })
  queue.push({ about: 'a', count: 2 })
  queue.end()
  const results = await Promise.all(reads)
  expect(results.map(result => result.value as unknown)).toEqual([
    { about: 'a', count: 1 },
    { about: 'a', count: 2 },
    undefined,
  ])
  expect(results.map(result => result.done)).toEqual([false, false, true])
})

test('unread events about one subject are merged, but not across an event that must stay distinct', async () => {
  const queue = make()
  queue.push({ about: 'a', count: 1 })
  queue.push({ about: 'b', count: 1 })
  queue.push({ about: 'a', count: 2 })
  queue.push({ about: 'a', count: 7, alone: true })
  queue.push({ about: 'a', count: 1 })
  queue.push({ about: 'a', count: 1 })
  expect(await drain(queue)).toEqual([
    { about: 'a', count: 3 },
    { about: 'b', count: 1 },
    { about: 'a', count: 7, alone: true },
    { about: 'a', count: 2 },
  ])
})

test('a new event is not merged into one that was read', async () => {
  const queue = make()
  queue.push({ about: 'a', count: 1 })
  expect((await queue.next()).value).toEqual({ about: 'a', count: 1 })
  queue.push({ about: 'a', count: 1 })
  expect(await drain(queue)).toEqual([{ about: 'a', count: 1 }])
})

test('a full queue is replaced by one overflow event, and then accepts events again', async () => {
  const queue = make()
  for (let at = 0; at <= MAX_UNREAD; at++) queue.push({ about: String(at), count: 1 })
  queue.push({ about: '0', count: 1 })
  expect(await drain(queue)).toEqual([{ type: 'overflow' }, { about: '0', count: 1 }])
})

test('an error is delivered once, after the unread events', async () => {
  const queue = make()
  queue.push({ about: 'a', count: 1 })
  queue.end(new Error('broken'))
  expect((await queue.next()).done).toBe(false)
  await expect(queue.next()).rejects.toThrow('broken')
  expect(await queue.next()).toEqual({ value: undefined, done: true })
  const waiting = make()
  const read = waiting.next()
  waiting.end(new Error('broken'))
  await expect(read).rejects.toThrow('broken')
  expect((await waiting.next()).done).toBe(true)
})

test('a reader that leaves its loop closes the queue, and later events are dropped', async () => {
  let left = 0
  const queue = make(() => (left += 1))
  queue.push({ about: 'a', count: 1 })
  queue.push({ about: 'b', count: 1 })
  for await (const _ of queue) break
  expect(left).toBe(1)
  queue.push({ about: 'c', count: 1 })
  expect((await queue.next()).done).toBe(true)
})
