// From an event in the kernel to the callback in JavaScript. Another process raises it and says when, by the clock that
// both read; see peers/c/events.c.
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { watchDevices } from 'dm-thin'
import { programs } from './process.mjs'

export async function measureEvents(samples, { count, pool, origin, sectors }) {
  const watch = watchDevices({ namePrefix: 'dmthinbench-e-' })
  let heard
  watch.on('change', ({ type }) => type === 'event' && heard(process.hrtime.bigint()))
  await watch.ready
  const raiser = spawn(programs.c[0], [
    'raise',
    ...Object.entries({ count, pool, origin, sectors }).map(pair => pair.join('=')),
  ])
  const raised = text(raiser.stdout)
  const told = []
  while (told.length < count) {
    const next = new Promise(resolve => (heard = resolve))
    raiser.stdin.write('.')
    told.push(await next)
  }
  raiser.stdin.end()
  const times = (await raised).trim().split('\n').map(BigInt)
  for (const [index, at] of told.entries()) samples.add('event-latency', Number(at - times[index]))
  watch.close()
}
