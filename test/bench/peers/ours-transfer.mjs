// The library's side of the trials of send and receive.
import { webcrypto } from 'node:crypto'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { receiveVolume, sendVolume } from 'dm-thin/transfer'
import { range, readPlan, Samples } from '../plan.mjs'
import { withFilled } from '../transfer-scratch.mjs'

const { plan } = readPlan(process.argv.slice(2))
const samples = new Samples()

/** Digests of as many chunks as are sent, eight at a time. */
async function digests() {
  const chunks = range(8).map(at => Buffer.alloc(2 ** 20, at + 1))
  for (const _ of range(plan.count / chunks.length)) {
    await Promise.all(chunks.map(chunk => webcrypto.subtle.digest('SHA-256', chunk)))
  }
}

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
    // What neither dd nor fio computes.
    await samples.time('send@sha256', () => digests())
    samples.copy('send@sha256', 'receive@sha256')
  }
})
samples.print()
