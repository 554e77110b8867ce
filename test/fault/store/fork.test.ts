// A fork of which each step fails, as that of a pool whose metadata is full does, or whose process is killed at it. All new
// layers are there or none, the origin is not suspended, and no volume is left.
import path from 'node:path'
import { BlockDevice, MiB } from '../../../lib/entry/index.js'
import { LayerStore } from '../../../lib/entry/store.js'
import { runKilled, type Kill } from '../../helpers/fault/fault-child.js'
import { EIO, useFaults, type FaultKind } from '../../helpers/fault/fault.js'
import { dmInfo } from '../../helpers/kernel/dmsetup.js'
import { endStore, keysOf, storeFiles, thinIdsBy, withStore, type StoreFiles } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()
const hooks = useFaults()
// The kernel logs what it refuses, such as the deletion of a thin id that is in use.
beforeEach(() => scratch.log.allow(/thin: .* failed|Couldn't open thin|adding target|transaction id/))

const ENOSPC = 28
const PAGE = 4096
const KEYS = ['a', 'b', 'c']
const FORKED = ['a', 'b', 'c', 'point', 'vm']

/** A raw layer `vm` with one page of content. */
async function prepared(store: LayerStore): Promise<void> {
  const { device } = await store.prepare('vm', '', { raw: true, sizeBytes: 16 * MiB })
  await using written = await BlockDevice.open(device)
  await written.write(0, Buffer.alloc(PAGE, 'vm'))
  await written.flush()
}

const textOf = async (device: string) => {
  await using read = await BlockDevice.open(device)
  return (await read.read(0, PAGE)).toString('latin1', 0, 2)
}

/** Returns whether the fork was made. If it was, removes its layers again. */
async function allOrNone(store: LayerStore, { poolName }: StoreFiles, where: unknown): Promise<boolean> {
  expect(dmInfo(`${poolName}-1`)?.suspended).toBe(false)
  const there = await keysOf(store)
  const isMade = there.length > 1
  expect(there).toEqual(isMade ? FORKED : ['vm'])
  expect(await store.cleanup()).toEqual([])
  expect([where, await store.verify()]).toEqual([where, []])
  expect(thinIdsBy(poolName)).toHaveLength(there.length + 1) // and the empty volume
  if (!isMade) return false
  for (const key of KEYS) {
    expect(await textOf((await store.layer(key)).device)).toBe('vm')
    await store.remove(key)
  }
  await store.remove('point')
  expect(await store.cleanup()).toEqual([])
  return true
}

const FAILURES: [kind: FaultKind, operation: string, errno: number][] = [
  ['fail', 'DM_TARGET_MSG', ENOSPC],
  ['fail', 'DM_DEV_SUSPEND', EIO],
  ['fail', 'DM_DEV_REMOVE', EIO],
  ['fail', 'DM_DEV_CREATE', EIO],
  ['fail', 'DM_TABLE_LOAD', EIO],
  ['fail', 'DM_DEV_RESUME', EIO],
  ['fail', 'DM_TABLE_STATUS', EIO],
  ['fail-after', 'DM_DEV_CREATE', EIO],
  ['fail-after', 'DM_TABLE_LOAD', EIO],
  ['fail-after', 'DM_DEV_RESUME', EIO],
]

test('a fork of which a step fails is made, or rejects and leaves nothing', () =>
  withStore({}, async (store, files) => {
    await prepared(store)
    const rejected: Record<string, number> = {}
    for (const [kind, operation, errno] of FAILURES) {
      for (let nth = 1; ; nth++) {
        hooks.setFault(operation, nth, kind, errno)
        const fault: unknown = await store.fork('vm', KEYS, { name: 'point' }).then(
          () => undefined,
          (reason: unknown) => reason,
        )
        const isReached = hooks.clearFaults() === 0
        const where = `${kind} ${operation} ${nth}`
        if (fault !== undefined) expect([where, fault]).toMatchObject([where, { errno }])
        expect([where, await allOrNone(store, files, where)]).toEqual([where, fault === undefined])
        if (!isReached) break
        rejected[`${kind} ${operation}`] = (rejected[`${kind} ${operation}`] ?? 0) + (fault === undefined ? 0 : 1)
      }
    }
    // The copy, three layers and the transaction id; the resume of the origin is repeated once. The copy is suspended before it
    // is removed.
    expect(rejected).toMatchObject({
      'fail DM_TARGET_MSG': 5,
      'fail DM_DEV_SUSPEND': 2,
      'fail DM_DEV_REMOVE': 1,
      'fail DM_DEV_CREATE': 4,
      'fail DM_TABLE_LOAD': 4,
      'fail DM_DEV_RESUME': 4,
      'fail-after DM_DEV_RESUME': 4,
    })
  }))

/** Each device and each snapshot: of the copy, and of the three layers; and the removal of the copy's device. */
const KILLS = [
  ['DM_DEV_SUSPEND', 2],
  ['DM_DEV_REMOVE', 1],
  ['DM_TARGET_MSG', 5],
  ['DM_DEV_CREATE', 4],
  ['DM_TABLE_LOAD', 4],
  ['DM_DEV_RESUME', 5],
].flatMap(([operation, calls]) =>
  Array.from({ length: calls as number }, (_, at): Kill => {
    return { operation: operation as string, nth: at + 1, kind: at % 2 === 0 ? 'kill-after' : 'kill-before' }
  }),
)

test('a fork whose process is killed at any step is made or undone when the store is opened', async () => {
  const files = storeFiles()
  const first = await LayerStore.open(files.options)
  await prepared(first)
  await first.close()
  for (const kill of KILLS) {
    runKilled(
      `const { LayerStore } = require(${JSON.stringify(path.join(__dirname, '../../../dist/entry/store.js'))})
      const store = await LayerStore.open(${JSON.stringify(files.options)})
      armed()
      await store.fork('vm', ${JSON.stringify(KEYS)}, { name: 'point' })`,
      kill,
    )
    const store = await LayerStore.open(files.options)
    // What is not recorded as made is undone.
    expect([kill, await allOrNone(store, files, kill)]).toEqual([kill, false])
    await store.close()
  }
  await endStore(files)
})
