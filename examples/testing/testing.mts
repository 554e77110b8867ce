// A test of one's own code without root, on any machine: a kernel in memory in the place of the real one.
import assert from 'node:assert/strict'
import { DmThinError, KiB, MiB, ThinPool, type ThinVolume } from 'dm-thin'
import { memoryKernel } from 'dm-thin/testing'

/** The code under test: a copy of the golden volume, or undefined where the pool has no room left. */
async function sandbox(golden: ThinVolume): Promise<ThinVolume | undefined> {
  const volume = await golden.snapshot().catch((error: unknown) => {
    if (error instanceof DmThinError && error.code === 'DM_POOL_FULL') return undefined
    throw error
  })
  if (volume === undefined) return undefined
  try {
    return await volume.activate()
  } catch (error) {
    await volume.delete() // or each failed start would leave a volume behind
    throw error
  }
}

const kernel = memoryKernel({ dataBlocks: 100 })
const pool = await ThinPool.create(kernel.poolOptions('example'))
const golden = await pool.createVolume({ sizeBytes: 4 * MiB })
await golden.activate()
await kernel.write(golden.path, 0, 1 * MiB)

// A copy shares all blocks until it is written.
const copy = await sandbox(golden)
assert(copy)
await kernel.write(copy.path, 0, 64 * KiB)
const [, usage] = await pool.usage()
assert.deepEqual(usage, { id: copy.id, mappedBlocks: 16, exclusiveBlocks: 1, sharedBlocks: 15 })

// The next message is refused as the kernel would refuse it.
kernel.fail('TARGET_MSG', 'ENOSPC')
assert.equal(await sandbox(golden), undefined)
console.log('DM_POOL_FULL: told as full')

// The snapshot is made and cannot be activated: it must not be left behind.
kernel.fail('TABLE_LOAD', 'ENOMEM')
await assert.rejects(sandbox(golden), { code: 'DM_TABLE_REFUSED' })
await copy.destroy()
await golden.destroy()
console.log(`left in the pool: ${(await pool.volumes()).length} volumes`)

await pool.remove({ deleteFiles: true })
assert.deepEqual(kernel.left(), { devices: [], loops: [], files: [], mounts: [] })
console.log('left in the kernel: nothing')
