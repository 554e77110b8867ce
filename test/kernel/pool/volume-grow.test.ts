// The growth of a volume: its table, its record, and its I/O.
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { pattern, readAt, writeAt } from '../../helpers/kernel/blocks.js'
import { dmResume, dmSuspend } from '../../helpers/kernel/dmsetup.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { withPool } from '../../helpers/pool/pools.js'
import { run } from '../../helpers/process/spawned.js'

const scratch = useScratch()
const bytesOf = (device: string): number => Number(run('blockdev', ['--getsize64', device]))

test('an active volume grows without another device, keeps its data, and its end can be written', () =>
  withPool(async pool => {
    const volume = await pool.createVolume({ sizeBytes: 8 * MiB })
    await volume.activate()
    await writeAt(volume.path, 0, pattern(1, 65536))
    const { path } = volume
    await volume.grow({ sizeBytes: 24 * MiB })
    expect([volume.path, volume.sizeBytes, bytesOf(path)]).toEqual([path, 24 * MiB, 24 * MiB])
    await writeAt(path, 24 * MiB - 65536, pattern(2, 65536))
    expect((await readAt(path, 0, 65536)).equals(pattern(1, 65536))).toBe(true)
    expect((await readAt(path, 24 * MiB - 65536, 65536)).equals(pattern(2, 65536))).toBe(true)
    await volume.deactivate()
    await volume.grow({ sizeBytes: 32 * MiB })
    await volume.activate()
    expect(bytesOf(volume.path)).toBe(32 * MiB)
  }))

test('a read-only volume stays read-only when it grows', () =>
  withPool(async pool => {
    const volume = await pool.createVolume({ sizeBytes: 8 * MiB })
    await volume.activate({ readOnly: true })
    await volume.grow({ sizeBytes: 16 * MiB })
    expect(bytesOf(volume.path)).toBe(16 * MiB)
    expect(run('blockdev', ['--getro', volume.path]).trim()).toBe('1')
  }))

test('the record of a pool has the new size', () => {
  const record = scratch.path('record.json')
  return withPool({ record }, async (pool, { reopen }) => {
    const volume = await pool.createVolume({ sizeBytes: 8 * MiB })
    await volume.grow({ sizeBytes: 16 * MiB })
    await volume.activate()
    await volume.grow({ sizeBytes: 32 * MiB })
    await volume.deactivate()
    const again = await ThinPool.open({ ...reopen, record })
    expect((await again.volume(volume.id)).sizeBytes).toBe(32 * MiB)
    await again.close()
  })
})

test('grow rejects a smaller size, and a suspended volume, which stays suspended', () =>
  withPool(async pool => {
    const volume = await pool.createVolume({ sizeBytes: 8 * MiB })
    await volume.activate()
    await expectCode(volume.grow({ sizeBytes: 4 * MiB }), 'DM_INVALID_ARGUMENT')
    dmSuspend(volume.name)
    await expectCode(volume.grow({ sizeBytes: 16 * MiB }), 'DM_BUSY')
    expect(run('dmsetup', ['info', volume.name])).toMatch(/State:\s+SUSPENDED/)
    dmResume(volume.name)
    expect(bytesOf(volume.path)).toBe(8 * MiB)
  }))

test('snapshots that are taken while a volume grows have whole content, and nothing stays suspended', () =>
  withPool(async pool => {
    const volume = await pool.createVolume({ sizeBytes: 8 * MiB })
    await volume.activate()
    await writeAt(volume.path, 0, pattern(3, 65536))
    const sizes = Array.from({ length: 8 }, (_, at) => (10 + at) * MiB)
    const grown = (async () => {
      for (const sizeBytes of sizes) await volume.grow({ sizeBytes })
    })()
    const snapshots = []
    for (let at = 0; at < 16; at++) snapshots.push(await volume.snapshot())
    await grown
    expect(run('dmsetup', ['info', volume.name])).toMatch(/State:\s+ACTIVE/)
    for (const snapshot of snapshots) {
      await snapshot.activate()
      expect((await readAt(snapshot.path, 0, 65536)).equals(pattern(3, 65536))).toBe(true)
      await snapshot.deactivate()
    }
  }))
