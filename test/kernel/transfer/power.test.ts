// A loss of power while a pool receives: the base is as it was, nothing unfinished is taken for a volume, and the receive
// continues from what was saved.
import { copyFileSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { interruptedReceives, receiveVolume, sendVolume } from '../../../lib/entry/transfer.js'
import { BLOCK } from '../../helpers/kernel/blocks.js'
import { dmInfo } from '../../helpers/kernel/dmsetup.js'
import { LoggedDisk } from '../../helpers/kernel/log-writes.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { withPool } from '../../helpers/pool/pools.js'
import { copySparse } from '../../helpers/store/power.js'
import { CHANGES, endOf, inTurn, partsOf, snapshotsIn } from '../../helpers/transfer/scene.js'
import { sha256 } from '../../helpers/transfer/volumes.js'

const scratch = useScratch()

test('a receive continues from what was saved after a loss of power at any record', async () => {
  const sizes = { data: 32 * MiB, metadata: 4 * MiB }
  const names = { data: scratch.name('data'), metadata: scratch.name('metadata') }
  const disk = await LoggedDisk.make(names.data, scratch.path('data'), sizes.data)
  const metadataDisk = await LoggedDisk.make(names.metadata, scratch.path('metadata'), sizes.metadata)
  const node = (name: string) => `/dev/dm-${dmInfo(name)!.number.split(':')[1]}`
  const record = scratch.path('record.json')
  const folderOf = (mark: string) => path.join(scratch.path('marks'), mark)

  await withPool({ dataBytes: sizes.data }, async from => {
    const name = scratch.name('pool')
    const to = await ThinPool.create({
      name,
      data: { device: node(names.data) },
      metadata: { device: node(names.metadata) },
      record,
    })
    const { monday, tuesday, base, changes, expected } = await snapshotsIn(from, to)
    const [digest, whole] = [await sha256(base), await changes()]
    const { source, onProgress } = inTurn(whole, count => {
      const mark = `record-${count}`
      mkdirSync(folderOf(mark), { recursive: true })
      copyFileSync(record, path.join(folderOf(mark), 'record.json'))
      for (const each of [disk, metadataDisk]) each.mark(mark)
    })
    await receiveVolume(to, source, { base, saveEveryBytes: BLOCK, onProgress })
    await to.remove({ deactivate: true })
    for (const each of [disk, metadataDisk]) await each.end()

    const image = scratch.path('image-metadata')
    await metadataDisk.replay(image, async mark => copySparse(image, path.join(folderOf(mark), 'metadata.img')))
    const dataImage = scratch.path('image-data')
    const offsets: number[] = []
    await disk.replay(dataImage, async mark => {
      const file = (each: string) => path.join(folderOf(mark), each)
      copySparse(dataImage, file('data.img'))
      const pool = await ThinPool.open({
        name,
        data: { file: file('data.img') },
        metadata: { file: file('metadata.img') },
        record: file('record.json'),
      })
      const [found] = await interruptedReceives(pool)
      offsets.push(found?.offsetBytes ?? 0)
      const volumes = (await pool.volumes()).map(({ id }) => id)
      expect({ mark, volumes }).toEqual({ mark, volumes: found ? [base.id, found.volume] : [base.id] })
      expect(await sha256(await pool.volume(base.id))).toBe(digest)
      const resumed = found ? { from: monday, resume: found.token } : {}
      const copy = await receiveVolume(pool, await sendVolume(from, tuesday, resumed))
      expect(await sha256(copy)).toBe(expected)
      await pool.remove()
    })
    // What was saved when a record was written: everything up to the last chunk before it.
    let saved = 0
    const before = partsOf(whole)
      .slice(1, CHANGES + 1)
      .map(part => {
        const offset = saved
        if (part.readUInt32LE(0) === 1) saved = endOf(part)
        return offset
      })
    expect(offsets).toEqual(before)
  })
})
