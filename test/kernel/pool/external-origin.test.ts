// Scenario                                                  Test
// dmtest external_origin: larger, smaller, fractional tail  a volume reads its read-only …
// dmtest external_origin: snap of it                        a volume reads its read-only …
// all descendants need the same origin argument             a volume reads its read-only …; contract/origins.ts
// a mounted or claimed origin                               an external origin that is open …
// @udev both
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { BlockDevice, LoopDevice, ThinPool } from '../../../lib/entry/index.js'
import { BLOCK, pattern, readAt, writeAt } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmRemove, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

/** 3.5 blocks, so that a block lies across its end. */
const ORIGIN = pattern(7, 3 * BLOCK + BLOCK / 2)
const BLOCKS = 6
const zeros = (bytes: number) => Buffer.alloc(bytes)
const checksum = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex')

async function withOrigin(body: (origin: LoopDevice, file: string) => Promise<void>): Promise<void> {
  const file = scratch.path('origin.img')
  writeFileSync(file, ORIGIN)
  const before = checksum(file)
  const origin = await LoopDevice.attach({ file, readOnly: true })
  await body(origin, file)
  await origin.detach()
  expect(checksum(file)).toBe(before)
}

test('a volume reads its read-only external origin, copies blocks at partial writes, and has the table that dmsetup shows', async () => {
  await withOrigin(async origin => {
    await withPool(async pool => {
      const externalOrigin = origin.path
      const volume = await pool.createVolume({ sizeBytes: BLOCKS * BLOCK, externalOrigin })
      expect((await volume.activate()).externalOrigin).toBe(externalOrigin)
      const number = dmInfo(pool.name)!.number
      const table = `0 ${BLOCKS * 128} thin ${number} 0 7:${origin.number}`
      expect(dmTable(volume.name)).toBe(table)
      const expected = Buffer.concat([ORIGIN, zeros(BLOCKS * BLOCK - ORIGIN.length)])
      expect((await readAt(volume.path, 0, BLOCKS * BLOCK)).equals(expected)).toBe(true)

      for (const offset of [BLOCK + 4096, 3 * BLOCK + 4096, 5 * BLOCK]) {
        await writeAt(volume.path, offset, pattern(offset, 4096))
        pattern(offset, 4096).copy(expected, offset)
      }
      expect((await readAt(volume.path, 0, BLOCKS * BLOCK)).equals(expected)).toBe(true)
      expect((await volume.status()).mappedBytes).toBe(3 * BLOCK)

      // Its snapshots have the same origin, without being told.
      const copy = await volume.snapshot({ activate: true })
      expect(dmTable(copy.name)).toBe(table.replace(' 0 7:', ` ${copy.id} 7:`))
      await writeAt(copy.path, 0, pattern(3, 4096))
      expect((await readAt(volume.path, 0, BLOCKS * BLOCK)).equals(expected)).toBe(true)
      const inCopy = Buffer.from(expected)
      pattern(3, 4096).copy(inCopy)
      expect((await readAt(copy.path, 0, BLOCKS * BLOCK)).equals(inCopy)).toBe(true)

      // Found again while active, by the kernel's own table.
      const found = await (await ThinPool.open(pool.name)).volume(copy.id)
      expect(found).toMatchObject({ active: true, externalOrigin })
      await copy.destroy()
      await volume.deactivate()
      const other = scratch.name('other')
      dmCreate(other, table)
      expect((await readAt(`/dev/dm-${dmInfo(other)!.number.split(':')[1]}`, 0, BLOCKS * BLOCK)).equals(expected)).toBe(
        true,
      )
      expect(await volume.refresh()).toBe(true)
      expect(volume).toMatchObject({ name: other, externalOrigin })
      dmRemove(other)
    })
  })
})

test('an external origin that is open exclusively rejects with DM_BUSY, and no device is left', async () => {
  scratch.log.allow(/device-mapper: /)
  await withOrigin(async origin => {
    await withPool(async pool => {
      const volume = await pool.createVolume({ sizeBytes: BLOCK, externalOrigin: origin.path })
      const claim = await BlockDevice.open(origin.path, { readOnly: true, exclusive: true })
      const before = await snapshotKernelState()
      const fault = await expectCode(volume.activate(), 'DM_BUSY')
      expect(fault).toMatchObject({ errno: 16, operation: 'DM_TABLE_LOAD', device: origin.path })
      expect(fault.holders).toMatchObject([{ kind: 'process', pid: process.pid }])
      const [result] = await pool.activateMany([volume])
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'DM_BUSY' } })
      expect(await snapshotKernelState()).toBe(before)
      await claim.close()
      await volume.activate()
      await expectCode(BlockDevice.open(origin.path, { readOnly: true, exclusive: true }), 'DM_BUSY')
      await volume.destroy()
    })
  })
})
