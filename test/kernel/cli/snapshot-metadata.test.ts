// The command dm-thin snapshot-metadata: what it serves, what it rejects, and how it ends, also in the middle of a call.
import { existsSync, statSync } from 'node:fs'
import { status, type ServiceError } from '@grpc/grpc-js'
import { alignedBuffer, BlockDevice, MiB, type ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { snapshotId } from '../../../lib/entry/snapshot-metadata.js'
import { untilListening } from '../../helpers/containerd/snapshotter.js'
import type { Daemon } from '../../helpers/process/daemon.js'
import { BLOCK } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { withPool } from '../../helpers/pool/pools.js'
import { dmThin, MAIN } from '../../helpers/process/command-line.js'
import { CsiClient, FIXED_LENGTH, type Entry } from '../../helpers/snapshot-metadata/client.js'
import { contentOf, rebuilt } from '../../helpers/snapshot-metadata/verify.js'
import { withStore } from '../../helpers/store/stores.js'

const scratch = useScratch()
const DRIVER = ['--driver-name', 'thin.example.com', '--driver-version', '1.2.3']

const serve = (address: string, ...more: string[]): Promise<Daemon> =>
  untilListening(address, [MAIN, 'snapshot-metadata', '--address', address, ...more])

async function write(path: string, blocks: readonly number[], value: number): Promise<void> {
  const device = await BlockDevice.open(path)
  const page = alignedBuffer(4096)
  page.fill(value)
  for (const block of blocks) await device.write(block * BLOCK, page)
  await device.close()
}

/** A pool with a base and a target, of which every second block differs. */
async function withSnapshots(
  blocks: number,
  body: (options: { pool: ThinPool; base: ThinVolume; target: ThinVolume; args: string[] }) => Promise<void>,
): Promise<void> {
  const record = scratch.path(`${scratch.name('record')}.json`)
  const options = { record, dataBytes: 1024 * MiB, metadataBytes: 8 * MiB, skipBlockZeroing: true }
  await withPool(options, async (pool, { name }) => {
    const origin = await (await pool.createVolume({ sizeBytes: blocks * BLOCK })).activate()
    await write(origin.path, [0, 1, 2], 1)
    const base = await origin.snapshot()
    const every = Array.from({ length: blocks / 2 }, (_, at) => 2 * at)
    await write(origin.path, every, 2)
    const target = await origin.snapshot()
    await body({ pool, base, target, args: ['--pool', name, '--record', record] })
  })
}

test('it answers a sidecar about the snapshots of a pool until SIGTERM, on a socket for root', () =>
  withSnapshots(64, async ({ pool, base, target, args }) => {
    const address = scratch.path('pool.sock')
    const server = await serve(address, ...args, ...DRIVER, '--fixed-length')
    const client = new CsiClient(address)
    expect(statSync(address).mode & 0o777).toBe(0o600)
    expect(await client.ask('getPluginInfo')).toMatchObject({ name: 'thin.example.com', vendor_version: '1.2.3' })
    expect(await client.ask('probe')).toEqual({ ready: { value: true } })
    // Type 4 is SNAPSHOT_METADATA_SERVICE.
    expect(await client.ask('getPluginCapabilities')).toMatchObject({ capabilities: [{ service: { type: 4 } }] })
    const ids = [await snapshotId(pool, base), await snapshotId(pool, target)] as const
    expect(await client.first(...ids)).toMatchObject({ block_metadata_type: FIXED_LENGTH })
    expect(await client.entries(...ids)).toHaveLength(32)

    const second = dmThin('snapshot-metadata', ...args, '--address', address)
    expect(second).toMatchObject({ status: 5, stderr: expect.stringContaining('DM_BUSY') as string })
    client.close()
    expect(await server.end()).toBe(0)
    expect(existsSync(address)).toBe(false)
  }))

test('it serves the committed layers of a store', () =>
  withStore({}, async (store, { directory }) => {
    await store.prepare('first', '', { raw: true, sizeBytes: 16 * MiB })
    await store.commit('base', 'first')
    const { device } = await store.prepare('second', 'base')
    await write(device, [3], 1)
    await store.commit('layer', 'second')
    const address = scratch.path('store.sock')
    const server = await serve(address, '--store', directory)
    const client = new CsiClient(address)
    expect(await client.entries('base', 'layer')).toEqual([{ byte_offset: 3 * BLOCK, size_bytes: BLOCK }])
    // Without --driver-name, there is no identity service.
    await expect(client.ask('probe')).rejects.toMatchObject({ code: status.UNIMPLEMENTED })
    client.close()
    expect(await server.end()).toBe(0)
  }))

test('wrong calls are rejected with exit code 2', () => {
  for (const args of [
    [],
    ['--pool', 'a', '--store', 'b'],
    ['--store', 'b', '--record', 'c'],
    ['--pool', 'a', '--driver-name', 'thin.example.com'],
    ['--pool', 'a', '--length', 'fixed'],
  ]) {
    expect({ args, status: dmThin('snapshot-metadata', ...args).status }).toEqual({ args, status: 2 })
  }
  expect(dmThin('snapshot-metadata', '--pool', 'none').status).toBe(3)
  expect(dmThin('snapshot-metadata', '--store', scratch.path('none')).status).toBe(3)
})

/** Reads responses until the stream fails, and returns the status. */
async function readUntilFailure(stream: AsyncIterable<{ block_metadata: Entry[] }>, entries: Entry[], most: number) {
  try {
    for await (const { block_metadata } of stream) {
      entries.push(...block_metadata)
      if (entries.length === most) return undefined
    }
  } catch (error) {
    return (error as ServiceError).code
  }
  return status.OK
}

test.each(['SIGKILL', 'SIGTERM'] as const)(
  'a client continues after %s of the server in the middle of a call',
  signal =>
    // Some 200 KiB of responses, where the client asks for 64 KiB before it has read: the server is always in the middle.
    withSnapshots(16_384, async ({ pool, base, target, args }) => {
      const address = scratch.path(`${signal}.sock`)
      const ids = [await snapshotId(pool, base), await snapshotId(pool, target)] as const
      const entries: Entry[] = []
      for (const most of [1, 500, 501, 1700]) {
        const server = await serve(address, ...args)
        const client = new CsiClient(address)
        const last = entries.at(-1)
        const starting_offset = last ? last.byte_offset + last.size_bytes : 0
        const stream = client.stream(...ids, { starting_offset, max_results: 1 })
        const iterator = stream[Symbol.asyncIterator]() as AsyncIterator<{ block_metadata: Entry[] }, never>
        while (entries.length < most) entries.push(...(await iterator.next()).value.block_metadata)
        const ended = server.end(signal)
        const rest = { [Symbol.asyncIterator]: () => iterator }
        expect(await readUntilFailure(rest, entries, Infinity)).toBe(status.UNAVAILABLE)
        expect(await ended).toBe(signal === 'SIGTERM' ? 0 : null)
        client.close()
      }
      const server = await serve(address, ...args)
      const client = new CsiClient(address)
      const whole = await client.entries(...ids)
      expect(whole.length).toBeGreaterThan(8000)
      expect(entries.length).toBeLessThan(whole.length)
      const { byte_offset, size_bytes } = entries.at(-1)!
      entries.push(...(await client.entries(...ids, { starting_offset: byte_offset + size_bytes })))
      expect(entries).toEqual(whole)
      client.close()
      expect(await server.end()).toBe(0)
    }),
)

test('the target is rebuilt from the base and the entries', () =>
  withSnapshots(64, async ({ pool, base, target, args }) => {
    const address = scratch.path('rebuilt.sock')
    const server = await serve(address, ...args)
    const client = new CsiClient(address)
    const entries = await client.entries(await snapshotId(pool, base), await snapshotId(pool, target))
    const content = await contentOf(target)
    expect(rebuilt(await contentOf(base), content, entries).equals(content)).toBe(true)
    client.close()
    await server.end()
  }))
