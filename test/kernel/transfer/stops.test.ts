// Bases over stops of the pools: clean ones on both sides, and one that is not clean.
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { receiveVolume, sendVolume } from '../../../lib/entry/transfer.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { written } from '../../helpers/metadata/bookmark.js'
import { withPool } from '../../helpers/pool/pools.js'
import { bytesOf, pieces, sha256 } from '../../helpers/transfer/volumes.js'

const scratch = useScratch()

test('a base stays valid over clean stops of both pools, and not over a stop that is not proved to be clean', async () => {
  const [fromRecord, toRecord] = [scratch.path('from.json'), scratch.path('to.json')]
  const sizes = { dataBytes: 32 * MiB }
  await withPool({ ...sizes, record: fromRecord }, async (firstFrom, { reopen: fromFiles }) =>
    withPool({ ...sizes, record: toRecord }, async (firstTo, { reopen: toFiles }) => {
      let [from, to] = [firstFrom, firstTo]
      const ids = { volume: 0, monday: 0, copy: 0 }
      const volume = await written(from, 4)
      const monday = await volume.snapshot()
      const first = await receiveVolume(to, await sendVolume(from, monday))
      Object.assign(ids, { volume: volume.id, monday: monday.id, copy: first.id })
      for (let stop = 0; stop < 2; stop++) {
        await from.remove({ deactivate: true })
        await to.remove()
        from = await ThinPool.open({ ...fromFiles, record: fromRecord })
        to = await ThinPool.open({ ...toFiles, record: toRecord })
      }
      const again = await (await from.volume(ids.volume)).activate()
      await writeBlock(again.path, 1, 101)
      const tuesday = await again.snapshot()
      const stream = await bytesOf(await sendVolume(from, tuesday, { from: await from.volume(ids.monday) }))
      const second = await receiveVolume(to, pieces(stream), { base: await to.volume(ids.copy) })
      expect(await sha256(second)).toBe(await sha256(tuesday))

      // Without its record, nobody proves that the stop was clean.
      await to.close()
      await (await ThinPool.open(to.name)).remove()
      to = await ThinPool.open({ ...toFiles, record: toRecord })
      const base = await to.volume(ids.copy)
      const fault = await expectCode(receiveVolume(to, pieces(stream), { base }), 'DM_TRANSFER_INVALID')
      expect(fault).toMatchObject({ detail: 'pool-start' })
      const whole = await receiveVolume(to, await sendVolume(from, tuesday))
      expect(await sha256(whole)).toBe(await sha256(tuesday))

      // The same for the sender: a volume of an earlier start is not the one that was received.
      await from.close()
      await (await ThinPool.open(from.name)).remove({ deactivate: true })
      from = await ThinPool.open({ ...fromFiles, record: fromRecord })
      const wednesday = await (await from.volume(ids.volume)).snapshot()
      const other = await sendVolume(from, wednesday, { from: await from.volume(tuesday.id) })
      expect(await expectCode(receiveVolume(to, other, { base: whole }), 'DM_TRANSFER_INVALID')).toMatchObject({
        detail: 'base',
      })
      await from.close()
      await to.close()
    }),
  )
})
