// Scenario                                                  Test
// the errno table of thin messages                          each invalid message fails …
// the errno table of thin and thin-pool tables              each invalid table fails …
// D  load failure / resume failure leave the device         each invalid table fails …; a table that cannot be resumed …
// A  device left if resume fails                            a table that cannot be resumed leaves no …
// K  thin activation while the pool is suspended fails      errors-pool-state.test.ts
// K  transaction id: zero, compare and set, wrong first     the transaction id begins at zero, is …
// K  held_root: no initial hold, cannot hold or release twice, cycles, check passes   the metadata snapshot can be held …
// K  multiple pools on the same metadata                    each invalid table fails …
// K  immutable target                                       a pool cannot change its target, its …
// kernel log detail of EINVAL                               each invalid table fails …
import { ThinPool, MiB } from '../../../lib/entry/index.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { DEVICE_FLAG, type TargetLine } from '../../../lib/kernel/port/device-port.js'
import { THIN_STATE } from '../../../lib/kernel/port/pool-port.js'
import { volumeUuidPrefix } from '../../../lib/pool/state/context.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withLoops, withPool } from '../../helpers/pool/pools.js'
import { run } from '../../helpers/process/spawned.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmInfo, dmStatus, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const port = nativePort()

/** The kernel's line for a table that it refuses, and for a message that it refuses. */
const REFUSALS = [/device-mapper: (table|ioctl|thin|thin metadata|core): /]

const message = (name: string, text: string) => port.targetMessage({ name }, 0, text)
const errnoOf = (call: Promise<unknown>) =>
  call.then(
    () => 0,
    (fault: { errno?: number }) => fault.errno,
  )

test('each invalid message fails with its errno, and leaves the pool unchanged', async () => {
  scratch.log.allow(...REFUSALS)
  await withPool(async (pool, { name }) => {
    await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const before = [await snapshotKernelState(), dmStatus(name)]
    const expected: [string, number][] = [
      ['create_thin 0', 17],
      ['create_snap 0 0', 17],
      ['create_snap 1 77', 61],
      ['delete 77', 61],
      ['delete 0', 16],
      ['create_thin 16777216', 22],
      ['create_snap 1 16777216', 22],
      ['delete 16777216', 22],
      ['create_thin', 22],
      ['create_thin 1 2', 22],
      ['create_thin one', 22],
      ['unheard_of 1', 22],
      ['', 22],
      ['set_transaction_id 1 2', 22],
      ['release_metadata_snap', 22],
    ]
    const found: [string, number | undefined][] = []
    for (const [text] of expected) found.push([text, await errnoOf(message(name, text))])
    expect(found).toEqual(expected)
    expect([await snapshotKernelState(), dmStatus(name)]).toEqual(before)
  })
})

test('the transaction id begins at zero, is compared before it is set, and is kept when the pool is removed', async () => {
  scratch.log.allow(...REFUSALS)
  await withPool(async (pool, { name, reopen }) => {
    expect((await pool.status()).transactionId).toBe(0n)
    for (let id = 0; id < 50; id++) await message(name, `set_transaction_id ${id} ${id + 1}`)
    expect(await errnoOf(message(name, 'set_transaction_id 49 51'))).toBe(22)
    await message(name, `set_transaction_id 50 ${2n ** 63n + 1n}`)
    expect((await pool.status()).transactionId).toBe(2n ** 63n + 1n)
    await pool.remove()
    const again = await ThinPool.open(reopen)
    expect((await again.status()).transactionId).toBe(2n ** 63n + 1n)
  })
})

test('the metadata snapshot can be held once and released once, and thin_check passes while it is held', async () => {
  scratch.log.allow(...REFUSALS)
  await withPool(async (pool, { name, metadataFile, reopen }) => {
    expect((await pool.status()).heldMetadataRoot).toBeNull()
    expect(await errnoOf(message(name, 'release_metadata_snap'))).toBe(22)
    for (let round = 0; round < 8; round++) {
      await message(name, 'reserve_metadata_snap')
      expect(await errnoOf(message(name, 'reserve_metadata_snap'))).toBe(16)
      expect((await pool.status()).heldMetadataRoot).toBe(Number(dmStatus(name).split(' ')[6]))
      await message(name, 'release_metadata_snap')
    }
    await message(name, 'reserve_metadata_snap')
    await pool.createVolume({ sizeBytes: MiB })
    await pool.remove() // withPool checks the metadata with the snapshot in it
    expect(metadataFile).not.toBe('')
    const again = await ThinPool.open(reopen)
    expect((await again.status()).heldMetadataRoot).not.toBeNull()
    await again.remove()
  })
})

test('messages succeed while the pool is suspended, and fail for a device that is not a pool', async () => {
  scratch.log.allow(...REFUSALS)
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    for (const time of [1, 2]) expect([time, await port.suspend({ name }, 0)]).toMatchObject([time, { name }])
    const info = await port.deviceStatus({ name: volume.name })
    expect(info.flags & DEVICE_FLAG.internalSuspend).toBe(DEVICE_FLAG.internalSuspend)
    await message(name, 'create_thin 4')
    await port.resume({ name })
    expect((await pool.volumes()).map(each => each.id)).toEqual([0, 4])
    expect(await errnoOf(message(volume.name, 'create_thin 5'))).toBe(22)
  })
})

test('each invalid table fails with its errno and the kernel’s reason, and leaves no device', async () => {
  scratch.log.allow(...REFUSALS)
  await withPool({ dataBytes: 8 * MiB }, async (pool, { name }) => {
    await pool.createVolume({ sizeBytes: MiB })
    const [metadata, data] = dmTable(name).split(' ').slice(3)
    const number = dmInfo(name)!.number
    const spare = await port.createSparse(scratch.path('spare'), 4 * MiB)
    expect(spare.created).toBe(true)
    await withLoops([scratch.path('spare')], async ([blank]) => {
      const before = await snapshotKernelState()
      const thin = (parameters: string): TargetLine[] => [
        { startSectors: 0, lengthSectors: 2048, type: 'thin', parameters },
      ]
      const poolOf = (parameters: string, lengthSectors = 8192): TargetLine[] => [
        { startSectors: 0, lengthSectors, type: 'thin-pool', parameters },
      ]
      const expected: [string, TargetLine[], number, RegExp][] = [
        ['an unknown thin id', thin(`${number} 77`), 61, /Couldn't open thin internal device/],
        ['a thin on a device that is not a pool', thin(`${blank} 0`), 22, /Couldn't get pool mapped device/],
        ['a thin without an id', thin(number), 22, /Invalid argument count/],
        ['a thin id beyond 24 bits', thin(`${number} 16777216`), 22, /Invalid device id/],
        ['a pool on running metadata', poolOf(`${metadata} ${data} 128 0`), 16, /./],
        ['data and metadata the same', poolOf(`${blank} ${blank} 128 0`), 22, /./],
        ['a block size of 64 sectors', poolOf(`${blank} ${data} 64 0`), 22, /Invalid block size/],
        ['a block size of 128 + 57', poolOf(`${blank} ${data} 185 0`), 22, /Invalid block size/],
        ['a block size beyond 1 GiB', poolOf(`${blank} ${data} 2097153 0`), 22, /Invalid block size/],
        ['an unknown feature', poolOf(`${blank} ${data} 128 0 1 fast`), 22, /Unrecognised pool feature/],
        ['longer than the data device', poolOf(`${blank} ${data} 128 0`, 1 << 20), 22, /too small/],
        ['a device that is not there', poolOf(`${blank} 240:9999 128 0`), 6, /Error getting data device/],
        [
          'no target of the name',
          [{ startSectors: 0, lengthSectors: 8, type: 'none', parameters: '' }],
          22,
          /unknown target type/,
        ],
        [
          'a target of no length',
          [{ startSectors: 0, lengthSectors: 0, type: 'error', parameters: '' }],
          22,
          /zero-length/,
        ],
        ['no targets', [], 22, /^/],
        [
          'a gap between targets',
          [...poolOf('', 8), ...poolOf('', 8)].map((each, at) => ({ ...each, type: 'error', startSectors: at * 16 })),
          22,
          /Gap in table/,
        ],
      ]
      for (const [what, table, errno, reason] of expected) {
        const device = scratch.name('refused')
        const fault = (await port.activate({ name: device, uuid: '', table }).catch((refusal: unknown) => refusal)) as {
          kernelReason?: string
        }
        expect({ what, ...fault }).toMatchObject({
          what,
          errno,
          operation: expect.stringMatching(/^DM_(TABLE_LOAD|DEV_RESUME)$/) as string,
          rollback: [{ operation: 'DM_DEV_REMOVE', device, errno: 0 }],
        })
        expect(`${what}: ${fault.kernelReason ?? ''}`).toMatch(reason)
        expect(dmInfo(device)).toBeUndefined()
      }
      expect(await snapshotKernelState()).toBe(before)
    })
  })
})

test('a table that cannot be resumed leaves no device', async () => {
  scratch.log.allow(...REFUSALS)
  await withPool({ dataBytes: 8 * MiB }, async (pool, { name, dataFile, metadataFile }) => {
    await pool.remove()
    await withLoops([dataFile, metadataFile], async ([data, metadata]) => {
      const before = await snapshotKernelState()
      // Loading a pool that is shorter than its metadata says works; the resume is what refuses it.
      const table = [
        {
          startSectors: 0,
          lengthSectors: 1024,
          type: 'thin-pool',
          parameters: `${metadata} ${data} 128 0`,
        },
      ]
      const fault = await port.activate({ name, uuid: '', table }).catch((refusal: unknown) => refusal)
      expect(fault).toMatchObject({
        code: 'DM_TABLE_REFUSED',
        errno: 22,
        operation: 'DM_DEV_RESUME',
        rollback: [{ operation: 'DM_DEV_REMOVE', device: name, errno: 0 }],
      })
      expect(await snapshotKernelState()).toBe(before)
    })
  })
})

test('a pool cannot change its target, its discard features or its devices, and stays live', async () => {
  scratch.log.allow(...REFUSALS)
  await withPool({ dataBytes: 8 * MiB }, async (pool, { name }) => {
    const live = dmTable(name)
    const [metadata, data] = live.split(' ').slice(3)
    const lengthSectors = 16384
    const load = (type: string, parameters: string) =>
      port.tableLoad({ name }, [{ startSectors: 0, lengthSectors, type, parameters }], 0)
    expect(await errnoOf(load('zero', ''))).toBe(22)
    expect(await errnoOf(load('thin-pool', `${metadata} ${data} 128 0 1 ignore_discard`))).toBe(22)
    expect(await errnoOf(load('thin-pool', `${data} ${metadata} 128 0`))).not.toBe(0)
    expect(dmTable(name)).toBe(live)
    await port.tableClear({ name })
    await pool.createVolume({ sizeBytes: MiB })
  })
})

test('statusMany returns the numbers of many volumes, and the state other for each that does not exist', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const { device, uuid } = await port.deviceStatus({ name })
    const prefix = volumeUuidPrefix({ device, uuid })
    const none = [THIN_STATE.other, 0, 0, -1]
    expect([...(await port.statusMany(prefix, Uint32Array.of(0, 77)))]).toEqual([
      THIN_STATE.active,
      2048,
      0,
      -1,
      ...none,
    ])
    run('dd', ['if=/dev/zero', `of=${volume.path}`, 'bs=4096', 'count=1', 'oflag=direct', 'status=none'])
    const [state, , mapped, highest] = await port.statusMany(prefix, Uint32Array.of(0))
    expect([state, mapped, highest]).toEqual([THIN_STATE.active, 128, 127])
  })
})
