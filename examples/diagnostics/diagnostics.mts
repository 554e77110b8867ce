// How long each kind of call took, from the diagnostics channel. A tracer would open a span at `start` instead.
import { subscribe } from 'node:diagnostics_channel'
import { MiB } from 'dm-thin'
import type { CallMessage } from 'dm-thin/kernel'
import { withPool } from '../scratch.mjs'

const calls = new Map<string, { count: number; refused: number }>()
subscribe('tracing:dm-thin:call:asyncEnd', message => {
  const { call, errno } = message as CallMessage
  const known = calls.get(call) ?? { count: 0, refused: 0 }
  calls.set(call, { count: known.count + 1, refused: known.refused + (errno === 0 ? 0 : 1) })
})

await withPool('diagnostics', async pool => {
  const volume = await pool.createVolume({ sizeBytes: 64 * MiB, id: 1 })
  await volume.activate()
  await volume.snapshot()
  await pool.createVolume({ sizeBytes: 64 * MiB, id: 1 }).catch(() => console.log('id 1 is taken'))
})

for (const call of ['activate', 'snapshot', 'createThin']) {
  const { count, refused } = calls.get(call) ?? { count: 0, refused: 0 }
  console.log(`${call}: ${count}, refused ${refused}`)
}
