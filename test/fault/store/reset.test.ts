// A reset of which each step fails, or whose process is killed at it. The layer has its former content or the new one, its
// device is the same and is not suspended, and no volume is left.
import path from 'node:path'
import { BlockDevice, MiB } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { runKilled, type Kill } from '../../helpers/fault/fault-child.js'
import { EIO, useFaults, type FaultKind } from '../../helpers/fault/fault.js'
import { dmInfo, dmTable } from '../../helpers/kernel/dmsetup.js'
import { endStore, storeFiles, thinIdsBy, withStore, type StoreFiles } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()
const hooks = useFaults()
// The kernel logs what it refuses, such as the deletion of a thin id that is in use.
beforeEach(() => scratch.log.allow(/thin: .* failed|Couldn't open thin|adding target|transaction id/))

const PAGE = 4096
const page = (text: string) => Buffer.alloc(PAGE, text)

/** A raw layer `vm` on a committed layer. */
async function prepared(store: LayerStore): Promise<string> {
  const { device } = await store.prepare('first', '', { raw: true, sizeBytes: 16 * MiB })
  const first = await BlockDevice.open(device)
  await first.write(0, page('new '))
  await first.close()
  await store.commit('disk', 'first')
  return (await store.prepare('vm', 'disk')).device
}

const textOf = async (device: BlockDevice) => (await device.read(0, PAGE)).toString('latin1', 0, 3)

async function expectWhole(store: LayerStore, { poolName }: StoreFiles, name: string, table: string): Promise<void> {
  expect(dmTable(name)).toBe(table)
  expect(dmInfo(name)?.suspended).toBe(false)
  expect(await store.cleanup()).toEqual([])
  expect(await store.verify()).toEqual([])
  expect(thinIdsBy(poolName)).toHaveLength(3) // the empty volume, the committed layer and this one
}

const FAILURES: [kind: FaultKind, operation: string][] = [
  ['fail', 'DM_DEV_STATUS'],
  ['fail', 'DM_DEV_SUSPEND'],
  ['fail', 'DM_DEV_RESUME'],
  ['fail', 'DM_TABLE_LOAD'],
  ['fail', 'DM_TARGET_MSG'],
  ['fail', 'DM_TABLE_STATUS'],
  ['fail', 'BLKFLSBUF'],
  ['fail-after', 'DM_DEV_RESUME'],
  ['fail-after', 'DM_TABLE_LOAD'],
  ['fail-after', 'DM_TARGET_MSG'],
]

test('a reset of which a step fails is made, or rejects and leaves the former content', () =>
  withStore({}, async (store, files) => {
    const device = await prepared(store)
    const name = `${files.poolName}-2`
    const table = dmTable(name)
    await using held = await BlockDevice.open(device)
    const counts: Record<string, { made: number; rejected: number }> = {}
    for (const [kind, operation] of FAILURES) {
      const count = (counts[`${kind} ${operation}`] = { made: 0, rejected: 0 })
      for (let nth = 1; ; nth++) {
        await held.write(0, page('old '))
        hooks.setFault(operation, nth, kind, EIO)
        const fault: unknown = await store.reset('vm').then(
          () => undefined,
          (reason: unknown) => reason,
        )
        const isReached = hooks.clearFaults() === 0
        const where = `${kind} ${operation} ${nth}`
        expect([where, await textOf(held)]).toEqual([where, fault === undefined ? 'new' : 'old'])
        if (fault !== undefined) expect(fault).toMatchObject({ errno: EIO })
        await expectWhole(store, files, name, table)
        if (!isReached) break
        count[fault === undefined ? 'made' : 'rejected'] += 1
      }
    }
    // Until the device has moved, a failure undoes the reset. After that, the step is repeated. The background removal of the
    // former content may meet a failure too.
    const rejected = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, count.rejected]))
    expect(rejected).toMatchObject({
      'fail DM_DEV_SUSPEND': 1,
      'fail DM_TABLE_LOAD': 1,
      'fail DM_TARGET_MSG': 1,
      'fail DM_DEV_RESUME': 0,
      'fail BLKFLSBUF': 0,
    })
    for (const count of Object.values(counts)) expect(count.made).toBeGreaterThan(0)
  }))

/** An operation, how many calls of it a reset makes, and what the next open does about a process killed at them. */
const KILLS: [operation: string, calls: number, ends: string[]][] = [
  ['DM_DEV_SUSPEND', 2, ['completed', 'undone']],
  // Two moves, the change of the id of the former content, a commit, the removal of the copy.
  ['DM_TARGET_MSG', 7, ['completed', 'made', 'undone']],
  ['DM_TABLE_LOAD', 2, ['completed', 'undone']],
  ['DM_DEV_RESUME', 2, ['completed', 'undone']],
]

const killsAt = (operation: string, calls: number): Kill[] =>
  (['kill-before', 'kill-after'] as const).flatMap(kind =>
    Array.from({ length: calls }, (_, at): Kill => ({ operation, nth: at + 1, kind })),
  )

test.each(KILLS)(
  'a reset whose process is killed at any %s is made or undone when the store is opened',
  async (operation, calls, ends) => {
    const files = storeFiles()
    const first = await LayerStore.open(files.options)
    const device = await prepared(first)
    const name = `${files.poolName}-2`
    const table = dmTable(name)
    await first.close()
    await using held = await BlockDevice.open(device)
    const seen = new Set<string>()
    for (const kill of killsAt(operation, calls)) {
      await held.write(0, page('old '))
      runKilled(
        `const { LayerStore } = require(${JSON.stringify(path.join(__dirname, '../../../dist/entry/store.js'))})
        const store = await LayerStore.open(${JSON.stringify(files.options)})
        armed()
        await store.reset('vm')`,
        kill,
      )
      const store = await LayerStore.open(files.options)
      const end = store.findings.find(({ key }) => key === 'vm')?.action ?? 'made'
      expect([kill, await textOf(held)]).toEqual([kill, end === 'undone' ? 'old' : 'new'])
      await held.write(PAGE, page(`${kill.nth}`))
      await expectWhole(store, files, name, table)
      seen.add(end)
      await store.close()
    }
    expect([...seen].sort()).toEqual(ends)
    await held.close()
    await endStore(files)
  },
)
