// The library's side of the trials of send and receive.
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { receiveVolume, sendVolume } from 'dm-thin/transfer'
import { range, readPlan, Samples } from '../plan.mjs'
import { withFilled } from '../transfer-scratch.mjs'

const { plan } = readPlan(process.argv.slice(2))
const samples = new Samples()

await withFilled(plan, async ({ pool, snapshot }) => {
  const sent = []
  const keep = new Writable({ write: (piece, _encoding, done) => done(null, sent.push(piece)) })
  await pipeline(await sendVolume(pool, snapshot), keep)
  for (const _ of range(plan.repeats)) {
    const nowhere = new Writable({ write: (_piece, _encoding, done) => done() })
    await samples.time('send', async () => pipeline(await sendVolume(pool, snapshot), nowhere))
    async function* source() {
      yield* sent
    }
    const received = await samples.time('receive', () => receiveVolume(pool, source()))
    await received.delete()
  }
})
samples.print()
