// Streams that are slow, cancelled or stopped: on metadata of 100 000 ranges, which is read as the client reads.
import { status } from '@grpc/grpc-js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import type { SnapshotResolver } from '../../../lib/entry/snapshot-metadata.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { imageDirectory, restoreImage } from '../../helpers/metadata/image.js'
import type { Response } from '../../helpers/snapshot-metadata/client.js'
import { serving } from '../../helpers/snapshot-metadata/serving.js'

const BLOCK = 65_536
const RANGES = 100_000
const directory = imageDirectory()
let image: string

beforeAll(() => {
  image = directory.path('pool')
  const parts = Array.from({ length: RANGES }, (_, at) => ({ virtual: 2 * at, data: 3 * at, length: 1 }))
  restoreImage(image, { dataBlocks: 3 * RANGES, thins: [{ id: 1, parts }] }, 4096)
})
afterAll(() => directory.remove())
afterEach(() => jest.restoreAllMocks())

const snapshots: SnapshotResolver = {
  snapshot: async () => ({ pool: image, id: 1, sizeBytes: 2 * RANGES * BLOCK }),
}

/** Counts the native calls that read, and the metadata that is closed. */
function watched(): { reads: () => number; closed: () => number } {
  const reads = jest.spyOn(nativePort(), 'metadataNext')
  const closes = jest.spyOn(ThinMetadata.prototype, 'close')
  return { reads: () => reads.mock.calls.length, closed: () => closes.mock.calls.length }
}

/** Waits until a condition holds. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(done => setTimeout(done, 20))
}

/** Waits until a number has not changed for ten turns of timers. */
async function settled(number: () => number): Promise<number> {
  let [before, same] = [number(), 0]
  while (same < 10) {
    await new Promise(done => setTimeout(done, 20))
    same = number() === before ? same + 1 : 0
    before = number()
  }
  return before
}

test('responses have at most 4096 entries, and all but the last have as many', () =>
  serving({ snapshots }, async ({ client }) => {
    const lengths: number[] = []
    for await (const { block_metadata } of client.responses(undefined, 'a')) lengths.push(block_metadata.length)
    expect(lengths).toEqual([...Array<number>(24).fill(4096), RANGES - 24 * 4096])
  }))

test('the metadata is not read further than a client that pauses has room for', () =>
  serving({ snapshots }, async ({ client }) => {
    const watch = watched()
    let entries = 0
    for await (const { block_metadata } of client.responses(undefined, 'whole')) entries += block_metadata.length
    expect(entries).toBe(RANGES)
    const all = watch.reads()
    expect(all).toBeGreaterThan(20)

    const stream = client.stream(undefined, 'paused', { max_results: 16 })
    const iterator = stream[Symbol.asyncIterator]() as AsyncIterator<Response, never>
    expect((await iterator.next()).value.block_metadata).toHaveLength(16)
    const paused = (await settled(watch.reads)) - all
    expect(paused).toBeLessThan(all / 4)
    let rest = 16
    for await (const { block_metadata } of { [Symbol.asyncIterator]: () => iterator }) rest += block_metadata.length
    expect(rest).toBe(RANGES)
    expect(watch.reads()).toBe(2 * all)
  }))

test('a client that cancels ends the reads, and the metadata is closed', () =>
  serving({ snapshots }, async ({ client }) => {
    const watch = watched()
    await client.first(undefined, 'a', { max_results: 1 })
    await until(() => watch.closed() === 1)
    expect(watch.reads()).toBeLessThan(10)
    // Nothing is reported, and the server goes on.
    expect((await client.first(undefined, 'a', { max_results: 7 })).block_metadata).toHaveLength(7)
  }))

test('a deadline of the client ends the reads too', () =>
  serving({ snapshots }, async ({ client, reported }) => {
    const watch = watched()
    // A deadline that has passed before the server reads ends no read.
    for (let milliseconds = 300; watch.reads() === 0; milliseconds *= 2) {
      const stream = client.stream(undefined, 'a', { max_results: 1 }, { deadline: Date.now() + milliseconds })
      const fault = await new Promise<{ code: number }>(done => stream.once('error', done as never))
      expect(fault.code).toBe(status.DEADLINE_EXCEEDED)
    }
    await until(() => watch.closed() > 0)
    expect(reported).toEqual([])
  }))

test('stop() ends the calls in progress with UNAVAILABLE, and rejects later ones', () =>
  serving({ snapshots }, async ({ client, stop }) => {
    const watch = watched()
    const begun = new Set<number>()
    let stopping: Promise<void> | undefined
    const reading = async (reader: number): Promise<number> => {
      try {
        for await (const _ of client.responses(undefined, 'a', { max_results: 1 })) {
          if (begun.add(reader).size === 2) stopping ??= stop()
        }
      } catch (fault) {
        await stopping
        return (fault as { code: number }).code
      }
      return status.OK
    }
    expect(await Promise.all([reading(1), reading(2)])).toEqual([status.UNAVAILABLE, status.UNAVAILABLE])
    expect(watch.closed()).toBe(2)
    expect((await client.failure(undefined, 'a')).code).toBe(status.UNAVAILABLE)
  }))

test('stop() resolves while a client does not read', () =>
  serving({ snapshots }, async ({ client, stop }) => {
    const watch = watched()
    const stream = client.stream(undefined, 'a', { max_results: 1 })
    stream.on('error', () => {})
    await until(() => watch.reads() > 0)
    await settled(watch.reads)
    await stop()
    expect(watch.closed()).toBe(1)
  }))
