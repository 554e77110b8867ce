// Pools of LVM, which lvm2 itself makes, writes and takes down: read while they run and at rest, and compared with the tools.
import { alignedBuffer, BlockDevice, ThinPool } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { BLOCK } from '../../helpers/kernel/blocks.js'
import { dmMessage, dmStatus, dmTable } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { collect } from '../../helpers/metadata/collect.js'
import { thinLs } from '../../helpers/metadata/image.js'
import { GROUP, METADATA, POOL, withLvm, type Lvm } from '../../helpers/metadata/lvm.js'
import { thinDelta, thinDump } from '../../helpers/metadata/tools.js'
import { seeded } from '../../helpers/random/random.js'

const scratch = useScratch()
const BLOCKS = 256

/** The root of the metadata snapshot in the status of the pool, or `-`. */
const heldRoot = (): string => dmStatus(POOL).split(' ')[6]!
const transactionId = (): string => dmStatus(POOL).split(' ')[2]!

/** Makes a volume and two snapshots with LVM, and writes and discards blocks in between. */
async function history(lvm: Lvm): Promise<void> {
  const random = seeded(5)
  lvm('lvcreate', '--yes', '--virtualsize', '16M', '--thinpool', 'pool', '--name', 'volume', GROUP)
  for (const snapshot of ['monday', 'tuesday', undefined]) {
    const device = await BlockDevice.open(`/dev/mapper/${GROUP}-volume`)
    const page = alignedBuffer(4096)
    for (let count = 0; count < 60; count++) await device.write(random.below(BLOCKS) * BLOCK, page)
    await device.discard({ offsetBytes: random.below(BLOCKS - 20) * BLOCK, lengthBytes: 20 * BLOCK })
    await device.close()
    if (snapshot !== undefined) lvm('lvcreate', '--snapshot', '--name', snapshot, `${GROUP}/volume`)
  }
}

const IDS = [1, 2, 3]

/** The mappings of each volume and the differences of each pair, as thin_dump and thin_delta list them. */
const listed = (options: readonly string[]) => ({
  dump: thinDump(METADATA, options),
  deltas: IDS.map(left => IDS.map(right => thinDelta(METADATA, left, right, options))),
})

async function compare(metadata: ThinMetadata, { dump, deltas }: ReturnType<typeof listed>): Promise<void> {
  expect((await metadata.devices()).map(({ id }) => id)).toEqual(IDS)
  expect([...dump.keys()]).toEqual(IDS)
  for (const [row, left] of IDS.entries()) {
    expect(await collect(metadata.mappings(left))).toEqual(dump.get(left))
    for (const [column, right] of IDS.entries()) {
      expect(await collect(metadata.delta(left, right, { same: true }))).toEqual(deltas[row]![column])
    }
  }
  expect((await collect(metadata.delta(2, 3))).length).toBeGreaterThan(10)
}

const opened = (): Promise<ThinPool> => ThinPool.open({ name: POOL, repair: false })

test('the pool of LVM is read while it runs and is written, and the metadata snapshot is released', () =>
  withLvm(scratch, async lvm => {
    await history(lvm)
    await using pool = await opened()
    const [table, transaction] = [dmTable(POOL), transactionId()]
    const metadata = await ThinMetadata.open(pool)
    expect(heldRoot()).not.toBe('-')
    const device = await BlockDevice.open(`/dev/mapper/${GROUP}-volume`)
    await device.write(0, alignedBuffer(BLOCK * 16))
    await device.close()
    await compare(metadata, listed(['--metadata-snap']))
    await metadata.close()
    expect(heldRoot()).toBe('-')
    expect([dmTable(POOL), transactionId()]).toEqual([table, transaction])
    // LVM goes on as before.
    lvm('lvcreate', '--snapshot', '--name', 'wednesday', `${GROUP}/volume`)
    await pool.close()
  }))

test('a metadata snapshot of another program is neither used nor released', () => {
  scratch.log.allow(/Pool metadata snapshot already exists/, /reserve_metadata_snap message failed/)
  return withLvm(scratch, async lvm => {
    await history(lvm)
    await using pool = await opened()
    dmMessage(POOL, 'reserve_metadata_snap')
    const theirs = heldRoot()
    await expectCode(ThinMetadata.open(pool), 'DM_METADATA_SNAPSHOT_HELD')
    expect(heldRoot()).toBe(theirs)
    const held = await ThinMetadata.open(METADATA, { metadataSnapshot: true })
    await compare(held, listed(['--metadata-snap']))
    await held.close()
    dmMessage(POOL, 'release_metadata_snap')
    await pool.close()
  })
})

test('snapshots that LVM has not activated are read without a metadata snapshot', () =>
  withLvm(scratch, async lvm => {
    await history(lvm)
    await using pool = await opened()
    const whole = await ThinMetadata.open(pool)
    const wanted = await collect(whole.delta(2, 3))
    await whole.close()
    const metadata = await ThinMetadata.open(pool, { reserve: false })
    expect(heldRoot()).toBe('-')
    expect(await collect(metadata.delta(2, 3))).toEqual(wanted)
    await expectCode(collect(metadata.mappings(1)), 'DM_VOLUME_ACTIVE')
    await metadata.close()
    await pool.close()
  }))

test('the metadata of an inactive pool of LVM is read from its device', () =>
  withLvm(scratch, async lvm => {
    await history(lvm)
    lvm('vgchange', '--activate', 'n', GROUP)
    lvm('lvchange', '--yes', '--activate', 'y', `${GROUP}/pool_tmeta`)
    // Before it is open, because nothing else can open a device that is read at rest.
    const [expected, usage] = [listed([]), thinLs(METADATA)]
    const metadata = await ThinMetadata.open(METADATA)
    await compare(metadata, expected)
    expect(await metadata.usage()).toEqual(usage)
    expect(await metadata.check()).toEqual([])
    await metadata.close()
    lvm('lvchange', '--activate', 'n', `${GROUP}/pool_tmeta`)
    lvm('vgchange', '--activate', 'y', GROUP)
    await expectCode(ThinMetadata.open(METADATA), 'DM_BUSY')
  }))
