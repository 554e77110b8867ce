// Processes that are killed while they receive a volume in a way that can continue: what was saved is not sent again, and the
// result is the same.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { interruptedReceives, receiveVolume } from '../../../lib/entry/transfer.js'
import { runKilled, type Kill } from '../../helpers/fault/fault-child.js'
import { EIO, useFaults } from '../../helpers/fault/fault.js'
import { BLOCK } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { CHANGES, endOf, inTurn, othersIn, partsOf, withScene, type Scene } from '../../helpers/transfer/scene.js'
import { pieces, sha256 } from '../../helpers/transfer/volumes.js'

const scratch = useScratch()
const hooks = useFaults()

/** Receives a stream, each record when the one before is saved, in a process that is killed. */
function receiveKilled({ to, record, base }: Scene, stream: Buffer, kill: Kill): void {
  const file = scratch.path('killed.stream')
  writeFileSync(file, stream)
  const body = `
    const { receiveVolume } = require(${JSON.stringify(path.resolve('dist/entry/transfer.js'))})
    const pool = await dmThin.ThinPool.open(${JSON.stringify({ name: to.name, record })})
    const base = await pool.volume(${base.id})
    armed()
    const stream = require('node:fs').createReadStream(${JSON.stringify(file)})
    await receiveVolume(pool, stream, { base, saveEveryBytes: 512 })`
  runKilled(body, kill)
}

const writes = Array.from({ length: CHANGES - 1 }, (_, at) => at + 1)

test.each([
  ...writes.map(nth => ['pwrite', nth, 'kill-before'] as const),
  ...writes.map(nth => ['pwrite', nth, 'kill-after'] as const),
  ['BLKDISCARD', 1, 'kill-before'] as const,
  ['BLKDISCARD', 1, 'kill-after'] as const,
  ...writes.map(nth => ['fsync', nth, 'kill-before'] as const),
  ...writes.map(nth => ['fsync', nth, 'kill-after'] as const),
])('a receive that is killed at %s %i (%s) continues from what was saved', (operation, nth, kind) =>
  withScene(scratch.path(`${operation}-${nth}-${kind}.json`), async scene => {
    const { to, base, changes, expected } = scene
    const whole = await changes()
    const before = await sha256(base)
    receiveKilled(scene, whole, { operation, nth, kind })
    expect((await othersIn(scene)).complete).toEqual([])
    const [found] = await interruptedReceives(to)
    const rest = await changes(found ? { resume: found.token } : {})
    // Each chunk before the one at which it was killed is saved, but for the last.
    const parts = partsOf(whole)
    const chunks = parts.slice(1).filter(part => part.readUInt32LE(0) === 1)
    if (operation !== 'BLKDISCARD' && nth > 2)
      expect(found!.offsetBytes).toBeGreaterThanOrEqual(endOf(chunks[nth - 3]!))
    const copy = await receiveVolume(to, pieces(rest), { base })
    expect(await sha256(copy)).toBe(expected)
    expect(await othersIn(scene)).toEqual({ unfinished: [], complete: [copy.id], notRecorded: [] })
    expect(await sha256(base)).toBe(before)
  }),
)

test('a receive whose write or flush fails keeps what was saved before', () =>
  withScene(scratch.path('fails.json'), async scene => {
    const { to, base, changes, expected } = scene
    const whole = await changes()
    for (const [operation, nth] of [
      ['pwrite', 3],
      ['fsync', 3],
    ] as const) {
      hooks.setFault(operation, nth, 'fail', EIO)
      const { source, onProgress } = inTurn(whole)
      const call = receiveVolume(to, source, { base, saveEveryBytes: BLOCK, onProgress })
      const fault = await call.catch((error: unknown) => error)
      expect({ operation, left: hooks.clearFaults(), fault }).toMatchObject({ left: 0, fault: { errno: EIO } })
      const [found] = await interruptedReceives(to)
      expect(found!.offsetBytes).toBeGreaterThan(0)
      const copy = await receiveVolume(to, pieces(await changes({ resume: found!.token })))
      expect(await sha256(copy)).toBe(expected)
      await copy.delete()
    }
  }))
