// The option `keep` of a store, and its metrics: the pool grows before the store rejects layers.
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { MiB, ThinPool, type DmThinError, type Growth } from '../../../lib/entry/index.js'
import { LayerStore, type OpenStoreOptions } from '../../../lib/entry/store.js'
import { pattern } from '../../helpers/kernel/blocks.js'
import { dmTable } from '../../helpers/kernel/dmsetup.js'
import { withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()
beforeEach(() => scratch.log.allow(/reached low water mark/))

const KEEP: NonNullable<OpenStoreOptions['keep']> = {
  data: { growBelowBytes: 48 * MiB, stepBytes: 16 * MiB },
  metadata: { minBytes: 32 * MiB },
}
const hash = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

test('a store with keep takes layers of four times the size of its pool, and closes with the pool as it was', async () => {
  const growths: Growth[] = []
  const errors: DmThinError[] = []
  const keep = {
    ...KEEP,
    onGrow: (growth: Growth) => growths.push(growth),
    onError: (error: DmThinError) => errors.push(error),
  }
  await withStore({ dataBytes: 32 * MiB, reservePercent: 50, keep }, async (store, { metadataFile, poolName }) => {
    const names = ['a', 'b', 'c', 'd']
    for (const [seed, name] of names.entries()) {
      await store.prepare(name)
      await store.withMounted(name, folder => writeFile(path.join(folder, 'content'), pattern(seed + 1, 32 * MiB)))
    }
    for (const [seed, name] of names.entries()) {
      await store.withMounted(name, folder => {
        expect(hash(readFileSync(path.join(folder, 'content')))).toBe(hash(pattern(seed + 1, 32 * MiB)))
        return Promise.resolve()
      })
    }
    expect(errors).toEqual([])
    expect(growths).toContainEqual({ role: 'metadata', fromBytes: 16 * MiB, toBytes: 32 * MiB })
    expect(statSync(metadataFile).blocks * 512).toBeGreaterThanOrEqual(32 * MiB)
    const metrics = await store.metrics()
    expect(metrics).toMatchObject({ layers: 4, removing: 0, warm: 0, queues: 1, growths: growths.length, volumes: 5 })
    expect(metrics.dataTotalBytes).toBeGreaterThanOrEqual((128 + 48) * MiB)
    await store.close()
    expect(dmTable(poolName)).toMatch(/ 128 0 1 error_if_no_space$/)
  })
})

test('a store with keep rejects layers at half of growBelowBytes, if the pool cannot grow', async () => {
  const keep = { data: { growBelowBytes: 32 * MiB, maxBytes: 64 * MiB }, metadata: { minBytes: 0 } }
  await withStore({ dataBytes: 64 * MiB, reservePercent: 50, keep }, async (store, { options }) => {
    await store.prepare('a')
    await store.withMounted('a', folder => writeFile(path.join(folder, 'content'), pattern(1, 34 * MiB)))
    await store.prepare('b') // less than 50 % are free, and more than 16 MiB
    await store.withMounted('b', folder => writeFile(path.join(folder, 'content'), pattern(2, 14 * MiB)))
    await expect(store.prepare('c')).rejects.toMatchObject({ code: 'DM_POOL_FULL' })
    await store.close()
    await expect(LayerStore.open({ ...options, keep: { lookEveryMs: 0 } })).rejects.toThrow(/lookEveryMs/)
    expect((await ThinPool.open(options.pool!.name!)).findings).toEqual([])
  })
})
