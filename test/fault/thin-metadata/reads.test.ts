// Reads of a running pool's metadata: each call of the kernel made to fail. The metadata snapshot is released in every case.
import { MiB } from '../../../lib/entry/index.js'
import { ThinMetadata } from '../../../lib/entry/metadata.js'
import { attemptWith, EIO, useFaults } from '../../helpers/fault/fault.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { dmStatus } from '../../helpers/kernel/dmsetup.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { collect } from '../../helpers/metadata/collect.js'
import { withPool } from '../../helpers/pool/pools.js'

const scratch = useScratch()
const hooks = useFaults()

const rootBy = (name: string): string => dmStatus(name).split(' ')[6]!

test.each([true, false])('a failed call names itself, and leaves nothing reserved (reserve: %s)', async reserve => {
  scratch.log.allow(/device-mapper: thin( metadata)?: /)
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    await writeBlock(volume.path, 3, 1)
    const snapshot = await volume.snapshot()
    await writeBlock(volume.path, 4, 1)
    const second = await volume.snapshot()
    const read = async () => {
      const metadata = await ThinMetadata.open(pool, { reserve })
      try {
        const usage = reserve ? (await metadata.usage()).length : 3
        return { usage, ranges: await collect(metadata.delta(snapshot.id, second.id)) }
      } finally {
        await metadata.close()
      }
    }
    for (const operation of ['open metadata', 'pread']) {
      let failed = 0
      for (let nth = 1; ; nth++) {
        hooks.setFault(operation, nth, 'fail', EIO)
        const outcome = await read().then(
          value => ({ value }),
          (fault: unknown) => ({ fault }),
        )
        const isReached = hooks.clearFaults() === 0
        expect([operation, nth, rootBy(name)]).toEqual([operation, nth, '-'])
        if (!isReached) {
          expect(outcome).toEqual({ value: { usage: 3, ranges: [{ type: 'rightOnly', begin: 4, length: 1 }] } })
          break
        }
        failed++
        if ('fault' in outcome) expect(outcome.fault).toMatchObject({ operation, errno: EIO })
      }
      expect(failed).toBeGreaterThan(0)
    }
    const thrown = await attemptWith(hooks, ['open metadata', 1], read, { kind: 'throw' })
    expect(thrown.fault).toMatchObject({ code: 'DM_KERNEL', errno: 12 })
    expect(rootBy(name)).toBe('-')
  })
})
