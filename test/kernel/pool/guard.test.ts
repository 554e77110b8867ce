// Scenario                                                  Test
// the kernel lets one id be active under two names          baseline …
// C  ActivateDevice (second is refused)                     the same object …, another object …
// missing everywhere: refused by us, also across processes  another process …
// also after a restart                                      after the pool was down …
// volume active elsewhere, before and after                 activated by dmsetup before …, … after
// @udev both
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { runChild, startChild } from '../../helpers/process/children.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedDevices, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmRemove, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

test('baseline: the kernel allows one volume to be active under two names', async () => {
  await withPool(async (pool, { name }) => {
    await pool.createVolume({ sizeBytes: MiB })
    const names = [scratch.name('one'), scratch.name('two')]
    for (const each of names) dmCreate(each, `0 2048 thin ${dmInfo(name)!.number} 0`)
    expect(dmTable(names[0]!)).toBe(dmTable(names[1]!))
    for (const each of names) dmRemove(each)
  })
})

test('the same object, another object, another name: refused, and the one activation stays', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const other = await (await ThinPool.open(name)).volume(0)
    expect(other).toMatchObject({ active: true, path: volume.path, name: volume.name, sizeBytes: MiB })
    const before = snapshotKernelState()
    const fault = await expectCode(volume.activate(), 'DM_ALREADY_ACTIVE')
    expect(fault.detail).toBe(volume.name)
    await expectCode(volume.activate({ name: scratch.name('second') }), 'DM_ALREADY_ACTIVE')
    await expectCode(other.activate({ name: scratch.name('second'), readOnly: true }), 'DM_ALREADY_ACTIVE')
    expect(snapshotKernelState()).toBe(before)
    expect(volume.path).toBe(`/dev/dm-${dmInfo(volume.name)!.number.split(':')[1]}`)
  })
})

test('of two concurrent activations under different names exactly one succeeds', async () => {
  await withPool(async (pool, { name }) => {
    await pool.createVolume({ sizeBytes: MiB })
    for (let round = 0; round < 5; round++) {
      const objects = await Promise.all([1, 2, 3].map(async () => (await ThinPool.open(name)).volume(0)))
      const outcomes = await Promise.allSettled(
        objects.map(volume => volume.activate({ name: scratch.name('racer'), sizeBytes: MiB })),
      )
      const refusals = outcomes.flatMap(outcome => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
      expect(refusals).toMatchObject([{ code: 'DM_ALREADY_ACTIVE' }, { code: 'DM_ALREADY_ACTIVE' }])
      expect(markedDevices()).toHaveLength(2)
      await objects[0]!.refresh()
      await objects[0]!.deactivate()
    }
  })
})

test('another process is refused while this one has it, and has it afterwards; then this one is refused', async () => {
  scratch.log.allow(/thin: (Creation|Deletion) of .* failed/)
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const second = scratch.name('child')
    const activate = `
      const pool = await dmThin.ThinPool.open(${JSON.stringify(name)})
      const volume = await pool.volume(0, { sizeBytes: ${MiB} })
      await volume.activate({ name: ${JSON.stringify(second)} })
      console.log('active')
      await new Promise(resolve => process.stdin.once('data', resolve))
      await volume.deactivate()
      process.stdin.destroy()`
    const before = snapshotKernelState()
    expect(await runChild(activate)).toMatchObject({ error: { code: 'DM_ALREADY_ACTIVE' } })
    expect(snapshotKernelState()).toBe(before)
    await volume.deactivate()

    const child = startChild(activate)
    await child.saw('active')
    expect((await expectCode(volume.activate(), 'DM_ALREADY_ACTIVE')).detail).toBe(second)
    await expectCode(volume.delete(), 'DM_VOLUME_ACTIVE')
    expect(await volume.refresh()).toBe(true)
    expect(volume.name).toBe(second)
    child.process.stdin!.write('go\n')
    expect(await child.result).toEqual({})
    expect(await volume.refresh()).toBe(false)
    await volume.activate()
  })
})

test('activated by dmsetup before: refused, listed, snapshotted, deactivated, and not deleted meanwhile', async () => {
  scratch.log.allow(/thin: (Creation|Deletion) of .* failed/)
  await withPool(async (pool, { name }) => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const foreign = scratch.name('foreign')
    dmCreate(foreign, `0 2048 thin ${dmInfo(name)!.number} 0`)
    const before = snapshotKernelState()
    expect((await expectCode(volume.activate(), 'DM_ALREADY_ACTIVE')).detail).toBe(foreign)
    await expectCode(volume.delete(), 'DM_VOLUME_ACTIVE')
    expect(snapshotKernelState()).toBe(before)
    const found = (await pool.volumes())[0]!
    expect(found).toMatchObject({ active: true, name: foreign, sizeBytes: MiB })
    await writeBlock(found.path, 0, 1)
    expect(await found.status()).toMatchObject({ mappedBytes: 65536 })
    const [status] = await pool.statusMany([found])
    expect(status).toMatchObject({ status: 'fulfilled', value: { mappedBytes: 65536 } })
    await found.deactivate()
    expect(dmInfo(foreign)).toBeUndefined()
    await volume.activate()
  })
})

test('activated by dmsetup after: the second activation of ours is refused until that one is gone', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const foreign = scratch.name('foreign')
    dmCreate(foreign, `0 2048 thin ${dmInfo(name)!.number} 0`)
    await volume.deactivate()
    expect(dmInfo(foreign)).toBeDefined()
    await expectCode(volume.activate(), 'DM_ALREADY_ACTIVE')
    dmRemove(foreign)
    await volume.activate()
  })
})

test('after the pool was down and up again, under another device number, the guard holds as before', async () => {
  await withPool(async (pool, { name, reopen }) => {
    await pool.createVolume({ sizeBytes: MiB })
    const number = dmInfo(name)!.number
    await pool.remove()
    const inTheWay = scratch.name('in-the-way')
    dmCreate(inTheWay, '0 8 zero')
    const again = await ThinPool.open(reopen)
    expect(dmInfo(name)!.number).not.toBe(number)
    const volume = await (await again.volume(0, { sizeBytes: MiB })).activate()
    const other = await (await ThinPool.open(name)).volume(0)
    await expectCode(other.activate({ name: scratch.name('second') }), 'DM_ALREADY_ACTIVE')
    expect(await other.refresh()).toBe(true)
    expect(other.path).toBe(volume.path)
    dmRemove(inTheWay)
  })
})

test('another pool has the device number of one that was taken down: nothing of it is touched', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const { number } = dmInfo(name)!
    dmRemove(volume.name)
    dmRemove(name)
    await withPool(async other => {
      const theirs = await (await other.createVolume({ sizeBytes: MiB })).activate()
      const idle = await other.createVolume({ sizeBytes: MiB })
      expect(dmInfo(other.name)!.number).toBe(number)
      const before = snapshotKernelState()
      await expectCode(pool.volumes(), 'DM_NOT_FOUND')
      await expectCode(pool.volume(idle.id), 'DM_NOT_FOUND')
      await expectCode(volume.activate({ name: scratch.name('second') }), 'DM_NOT_FOUND')
      await expectCode(volume.snapshot({ id: 9 }), 'DM_NOT_FOUND')
      await expectCode(pool.remove({ deactivate: true }), 'DM_NOT_FOUND')
      const statuses = await pool.statusMany([volume])
      expect(statuses).toMatchObject([{ status: 'rejected', reason: { code: 'DM_NOT_ACTIVE' } }])
      await expectCode(volume.status(), 'DM_NOT_ACTIVE')
      const [result] = await pool.deactivateMany([volume])
      expect(result).toMatchObject({ status: 'fulfilled' })
      await volume.deactivate()
      expect(await volume.refresh()).toBe(false)
      expect(snapshotKernelState()).toBe(before)
      expect(await theirs.status()).toMatchObject({ state: 'active' })
      expect((await other.volumes()).map(({ id }) => id)).toEqual([0, 1])
    })
  })
})

test('the same id of two pools is two volumes', async () => {
  await withPool(first =>
    withPool(async second => {
      for (const pool of [first, second]) await (await pool.createVolume({ sizeBytes: MiB, id: 1 })).activate()
      expect(markedDevices()).toHaveLength(4)
    }),
  )
})
