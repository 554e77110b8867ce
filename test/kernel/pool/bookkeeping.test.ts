// Scenario                                                  Test
// dmtest transaction_id: 0..1000 CAS, wrong first argument  setTransactionId() sets the id …
// dmtest held_root: hold, twice, release, live readers      a metadata snapshot stays …
// M  the commit point of a journal; result of commit ignored  errors.test.ts
import { MiB } from '../../../lib/entry/index.js'
import { BLOCK, writeBlock } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmMessage, dmStatus, dmTable, thinUsageBy } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

const idBy = (name: string): string => dmStatus(name).split(' ')[3]!
const rootBy = (name: string): string => dmStatus(name).split(' ')[6]!
const usedBy = (name: string): number => Number(dmStatus(name).split(' ')[5]!.split('/')[0])

test('setTransactionId() sets the id that dmsetup reports, and rejects a wrong current id', async () => {
  scratch.log.allow(/device-mapper: thin( metadata)?: /)
  await withPool(async (pool, { name }) => {
    for (let id = 0n; id < 5n; id++) await pool.setTransactionId({ currentId: id, newId: id + 1n })
    expect(idBy(name)).toBe('5')
    const before = await snapshotKernelState()
    const fault = await expectCode(pool.setTransactionId({ currentId: 4n, newId: 9n }), 'DM_TRANSACTION_MISMATCH')
    expect(fault).toMatchObject({ errno: 22, operation: 'DM_TARGET_MSG', device: name, detail: '5' })
    expect([idBy(name), await snapshotKernelState()]).toEqual(['5', before])
    dmMessage(name, 'set_transaction_id 5 77')
    await expectCode(pool.setTransactionId({ currentId: 5n, newId: 6n }), 'DM_TRANSACTION_MISMATCH')
    await pool.setTransactionId({ currentId: 77n, newId: 2n ** 64n - 1n })
    expect(idBy(name)).toBe(String(2n ** 64n - 1n))
    await expectCode(pool.setTransactionId({ currentId: 0n, newId: 1n, signal: AbortSignal.abort() }), 'ABORT_ERR')
  })
})

test('a metadata snapshot stays readable and unchanged while the pool runs, and keeps its blocks', async () => {
  scratch.log.allow(/device-mapper: thin( metadata)?: /)
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: 8 * MiB })).activate()
    await writeBlock(volume.path, 0, 1)
    const snapshot = await pool.reserveMetadataSnapshot()
    expect(rootBy(name)).toBe(String(snapshot.root))
    const fault = await expectCode(pool.reserveMetadataSnapshot(), 'DM_METADATA_SNAPSHOT_HELD')
    expect(fault).toMatchObject({ errno: 16, device: name, detail: 'reserve_metadata_snap' })
    await pool.createVolume({ sizeBytes: MiB, id: 9 })
    await writeBlock(volume.path, 1, 2)
    const metadata = `/dev/loop${dmTable(name).split(' ')[3]!.slice(2)}`
    expect(thinUsageBy(metadata, '--metadata-snap').map(({ id, mappedBlocks }) => [id, mappedBlocks])).toEqual([[0, 1]])
    await volume.destroy()
    expect(usedBy(name)).toBe(1) // what the metadata snapshot leads to
    await snapshot.release()
    expect([rootBy(name), usedBy(name)]).toEqual(['-', 0])
    await snapshot.release()

    // One that a dead process left, or another program holds.
    dmMessage(name, 'reserve_metadata_snap')
    await pool.releaseMetadataSnapshot()
    expect(rootBy(name)).toBe('-')
    await expectCode(pool.releaseMetadataSnapshot(), 'DM_METADATA_SNAPSHOT_NOT_HELD')
    // Released and reserved by somebody else meanwhile: theirs stays.
    const lost = await pool.reserveMetadataSnapshot()
    dmMessage(name, 'release_metadata_snap')
    await pool.createVolume({ sizeBytes: MiB, id: 10 })
    dmMessage(name, 'reserve_metadata_snap')
    const theirs = rootBy(name)
    if (theirs !== String(lost.root)) await expectCode(lost.release(), 'DM_METADATA_SNAPSHOT_NOT_HELD')
    expect(rootBy(name)).toBe(theirs)
    dmMessage(name, 'release_metadata_snap')
    expect((await pool.status()).data).toMatchObject({ usedBlocks: 0, blockBytes: BLOCK })
  })
})
