// A pool with a record and a volume that is filled, for the trials of send and receive; and both removed again.
import { randomFillSync } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { alignedBuffer, BlockDevice, ThinPool } from 'dm-thin'

const MIB = 2 ** 20

/** Calls `body` with the pool, an active volume of `count` MiB of random bytes, and a snapshot of it. */
export async function withFilled(plan, body) {
  const file = name => join(plan.directory, `transfer-${process.pid}-${name}`)
  const files = { data: file('data'), metadata: file('metadata'), record: file('record') }
  const pool = await ThinPool.create({
    name: `dmthinbench-transfer-${process.pid}`,
    data: { file: files.data, sizeBytes: 4 * plan.count * MIB },
    metadata: { file: files.metadata, sizeBytes: 32 * MIB },
    record: files.record,
    skipBlockZeroing: true,
  })
  const volume = await (await pool.createVolume({ sizeBytes: plan.count * MIB })).activate()
  await fill(volume.path, plan.count)
  const snapshot = await volume.snapshot()
  await body({ pool, volume, snapshot })
  await pool.remove({ deactivate: true })
  for (const path of Object.values(files)) rmSync(path, { force: true })
}

async function fill(path, megabytes) {
  const device = await BlockDevice.open(path)
  const piece = alignedBuffer(MIB)
  for (let at = 0; at < megabytes; at++) await device.write(at * MIB, randomFillSync(piece))
  await device.flush()
  await device.close()
}
