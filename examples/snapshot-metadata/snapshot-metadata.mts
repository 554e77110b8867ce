// A backup that asks for changed blocks as Kubernetes does: a client of the snapshot metadata service, over a socket.
import { createRequire } from 'node:module'
import { open, truncate, writeFile, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { GiB, MiB, ThinPool, type ThinVolume } from 'dm-thin'
import { poolSnapshots, serveSnapshotMetadata, snapshotId } from 'dm-thin/snapshot-metadata'
import { inFolder } from '../scratch.mjs'

const SIZE = 32 * MiB

interface Response {
  readonly block_metadata: readonly { readonly byte_offset: number; readonly size_bytes: number }[]
}

type Method = (request: object) => AsyncIterable<Response>

/** Returns a client of the service on a socket, made from the definition in the package. */
function clientOf(address: string): { getMetadataAllocated: Method; getMetadataDelta: Method; close(): void } {
  const folder = path.dirname(createRequire(import.meta.url).resolve('dm-thin/package.json'))
  const definition = loadSync(path.join(folder, 'lib/snapshot-metadata/csi.proto'), { keepCase: true, longs: Number })
  const loaded = grpc.loadPackageDefinition(definition) as unknown as {
    csi: { v1: { SnapshotMetadata: grpc.ServiceClientConstructor } }
  }
  const client = new loaded.csi.v1.SnapshotMetadata(`unix:${address}`, grpc.credentials.createInsecure())
  return client as unknown as ReturnType<typeof clientOf>
}

/** Copies the blocks in the responses from the device of a snapshot to the backup. Returns the number of bytes. */
async function copy(responses: AsyncIterable<Response>, from: FileHandle, to: FileHandle): Promise<number> {
  let copied = 0
  for await (const { block_metadata } of responses) {
    for (const { byte_offset, size_bytes } of block_metadata) {
      const bytes = Buffer.alloc(size_bytes)
      await from.read(bytes, 0, size_bytes, byte_offset)
      await to.write(bytes, 0, size_bytes, byte_offset)
      copied += size_bytes
    }
  }
  return copied
}

async function write(volume: ThinVolume, offset: number, text: string): Promise<void> {
  const file = await open(volume.path, 'r+')
  await file.write(text, offset)
  await file.sync()
  await file.close()
}

async function isEqual(one: FileHandle, other: FileHandle): Promise<boolean> {
  const [first, second] = [Buffer.alloc(SIZE), Buffer.alloc(SIZE)]
  await Promise.all([one.read(first, 0, SIZE, 0), other.read(second, 0, SIZE, 0)])
  return first.equals(second)
}

await inFolder('snapshot-metadata', async folder => {
  const pool = await ThinPool.create({
    name: 'snapshot-metadata',
    data: { file: path.join(folder, 'data.img'), sizeBytes: 1 * GiB },
    metadata: { file: path.join(folder, 'metadata.img'), sizeBytes: 8 * MiB },
    record: path.join(folder, 'record.json'),
  })
  const address = path.join(folder, 'csi.sock')
  const server = await serveSnapshotMetadata({ address, snapshots: poolSnapshots(pool) })
  const client = clientOf(address)

  const volume = await (await pool.createVolume({ sizeBytes: SIZE })).activate()
  for (let at = 0; at < SIZE; at += 4 * MiB) await write(volume, at, `monday at ${at}`)
  const monday = await volume.snapshot({ activate: true, readOnly: true })
  await write(volume, 5 * MiB, 'tuesday')
  await write(volume, 8 * MiB, 'tuesday')
  const tuesday = await volume.snapshot({ activate: true, readOnly: true })

  await writeFile(path.join(folder, 'backup.img'), '')
  await truncate(path.join(folder, 'backup.img'), SIZE)
  const backup = await open(path.join(folder, 'backup.img'), 'r+')
  const devices = await Promise.all([monday, tuesday].map(({ path }) => open(path, 'r')))
  const [first, second] = [await snapshotId(pool, monday), await snapshotId(pool, tuesday)]

  const allocated = client.getMetadataAllocated({ snapshot_id: first })
  console.log(`monday: ${await copy(allocated, devices[0]!, backup)} bytes copied`)
  const changed = client.getMetadataDelta({ base_snapshot_id: first, target_snapshot_id: second })
  console.log(`tuesday: ${await copy(changed, devices[1]!, backup)} bytes copied`)
  console.log(`the backup equals the snapshot: ${await isEqual(backup, devices[1]!)}`)

  for (const each of [backup, ...devices]) await each.close()
  client.close()
  await server.stop()
  await pool.remove({ deactivate: true })
})
