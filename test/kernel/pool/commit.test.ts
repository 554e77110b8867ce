// Scenario                                                  Test
// K  commit failure sets needs_check                        %s on unwritable metadata …
// D  success of a message is no success of its commit       %s on unwritable metadata …
// C8 create, snapshot and delete resolve uncommitted        %s on unwritable metadata …
import { MiB, ThinPool, type ThinVolume } from '../../../lib/entry/index.js'
import { BROKEN, onLinear } from '../../helpers/pool/broken-pool.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmInfo, dmStatus, thinCheck } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

const loopOver = (file: string): string =>
  run('losetup', ['--noheadings', '--output', 'NAME', '--associated', file]).trim()

/** Metadata that can be read and not written: the commit fails, and going back to the last one works. */
const unwritable = (file: string): string => `0 8192 flakey ${loopOver(file)} 0 0 3600 1 error_writes`

const reopened = () =>
  ThinPool.open({
    name: scratch.name('pool'),
    data: { file: scratch.path('data.img') },
    metadata: { file: scratch.path('metadata.img') },
  })

type Change = (at: { pool: ThinPool; active: ThinVolume; idle: ThinVolume }) => Promise<unknown>

const CHANGES: [title: string, change: Change][] = [
  ['createVolume', ({ pool }) => pool.createVolume({ sizeBytes: MiB })],
  ['snapshot of an active volume', ({ active }) => active.snapshot()],
  ['snapshot of an inactive volume', ({ idle }) => idle.snapshot({ activate: true })],
  ['delete', ({ idle }) => idle.delete()],
  ['setTransactionId', ({ pool }) => pool.setTransactionId({ currentId: 0n, newId: 7n })],
]

test.each(CHANGES)(
  '%s on unwritable metadata rejects with DM_NOT_COMMITTED, and its change is lost',
  async (_, change) => {
    scratch.log.allow(...BROKEN)
    await onLinear(scratch, async ({ pool, volume: active, metadataFile, breakMetadata, repairMetadata }) => {
      const idle = await pool.createVolume({ sizeBytes: MiB })
      breakMetadata(unwritable(metadataFile))
      const fault = await expectCode(change({ pool, active, idle }), 'DM_NOT_COMMITTED')
      expect(fault).toMatchObject({ operation: 'commit', errno: 5, device: pool.name })
      expect(dmStatus(pool.name)).toMatch(/ ro .* needs_check /)
      expect(dmInfo(active.name)).toMatchObject({ suspended: false })
      repairMetadata()
    })
    thinCheck(scratch.path('metadata.img'), '--clear-needs-check-flag')
    const again = await reopened()
    expect((await again.volumes()).map(({ id }) => id)).toEqual([0, 1])
    expect(await again.status()).toMatchObject({ mode: 'rw', transactionId: 0n })
    await again.remove()
  },
)

test('batch changes on unwritable metadata reject the first with DM_NOT_COMMITTED, and the rest with another code', async () => {
  scratch.log.allow(...BROKEN, /unable to service pool target messages/)
  await onLinear(scratch, async ({ pool, volume, metadataFile, breakMetadata, repairMetadata }) => {
    const idle = [await pool.createVolume({ sizeBytes: MiB }), await pool.createVolume({ sizeBytes: MiB })]
    breakMetadata(unwritable(metadataFile))
    const made = await pool.snapshotMany(volume, 3)
    const deleted = await pool.deleteMany(idle)
    const codes = [...made, ...deleted].map(each => each.status === 'rejected' && each.reason.code)
    expect(codes).toEqual(['DM_NOT_COMMITTED', ...new Array<string>(4).fill('DM_POOL_READ_ONLY')])
    repairMetadata()
  })
  thinCheck(scratch.path('metadata.img'), '--clear-needs-check-flag')
  const again = await reopened()
  expect((await again.volumes()).map(({ id }) => id)).toEqual([0, 1, 2])
  await again.remove()
})

test('changes with durability lazy resolve on unwritable metadata, and commit() rejects with DM_NOT_COMMITTED', async () => {
  scratch.log.allow(...BROKEN)
  await onLinear(scratch, async ({ pool, metadataFile, breakMetadata, repairMetadata }) => {
    const lazy = await ThinPool.open({ name: pool.name, durability: 'lazy' })
    for (let id = 1; id < 4; id++) await lazy.createVolume({ sizeBytes: MiB, id })
    await lazy.commit()
    breakMetadata(unwritable(metadataFile))
    await lazy.createVolume({ sizeBytes: MiB, id: 9 })
    await expectCode(lazy.commit(), 'DM_NOT_COMMITTED')
    await expectCode(lazy.createVolume({ sizeBytes: MiB, id: 10 }), 'DM_POOL_READ_ONLY')
    repairMetadata()
  })
  thinCheck(scratch.path('metadata.img'), '--clear-needs-check-flag')
  const again = await reopened()
  expect((await again.volumes()).map(({ id }) => id)).toEqual([0, 1, 2, 3])
  await again.remove()
})
