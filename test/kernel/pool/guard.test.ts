// Scenario                                                  Test
// the kernel lets one id be active under two names          the kernel itself allows one …
// C  ActivateDevice (second is refused)                     a second activation by …
// missing everywhere: refused by us, also across processes  an activation is rejected …
// also after a restart                                      a second activation is rejected …
// volume active elsewhere, before and after                 a volume that dmsetup activated …
// @udev both
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { DeviceMapper } from '../../../lib/entry/kernel.js'
import { writeBlock } from '../../helpers/kernel/blocks.js'
import { runChild, startChild } from '../../helpers/process/children.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { markedDevices, snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { dmCreate, dmInfo, dmRemove, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()

test('the kernel itself allows one volume to be active under two names', async () => {
  await withPool(async (pool, { name }) => {
    await pool.createVolume({ sizeBytes: MiB })
    const names = [scratch.name('one'), scratch.name('two')]
    for (const each of names) dmCreate(each, `0 2048 thin ${dmInfo(name)!.number} 0`)
    expect(dmTable(names[0]!)).toBe(dmTable(names[1]!))
    for (const each of names) dmRemove(each)
  })
})

test('a second activation by the same or another object or under another name is rejected, and the first stays', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const other = await (await ThinPool.open(name)).volume(0)
    expect(other).toMatchObject({ active: true, path: volume.path, name: volume.name, sizeBytes: MiB })
    const before = await snapshotKernelState()
    const fault = await expectCode(volume.activate(), 'DM_ALREADY_ACTIVE')
    expect(fault.detail).toBe(volume.name)
    await expectCode(volume.activate({ name: scratch.name('second') }), 'DM_ALREADY_ACTIVE')
    await expectCode(other.activate({ name: scratch.name('second'), readOnly: true }), 'DM_ALREADY_ACTIVE')
    expect(await snapshotKernelState()).toBe(before)
    expect(volume.path).toBe(`/dev/dm-${dmInfo(volume.name)!.number.split(':')[1]}`)
  })
})

test('exactly one of several concurrent activations under different names succeeds', async () => {
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

test('an activation is rejected while another process has the volume active, and succeeds afterwards', async () => {
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
    const before = await snapshotKernelState()
    expect(await runChild(activate)).toMatchObject({ error: { code: 'DM_ALREADY_ACTIVE' } })
    expect(await snapshotKernelState()).toBe(before)
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

test('a volume that dmsetup activated cannot be activated or deleted, and is listed, snapshotted and deactivated', async () => {
  scratch.log.allow(/thin: (Creation|Deletion) of .* failed/)
  await withPool(async (pool, { name }) => {
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const foreign = scratch.name('foreign')
    dmCreate(foreign, `0 2048 thin ${dmInfo(name)!.number} 0`)
    const before = await snapshotKernelState()
    expect((await expectCode(volume.activate(), 'DM_ALREADY_ACTIVE')).detail).toBe(foreign)
    await expectCode(volume.delete(), 'DM_VOLUME_ACTIVE')
    expect(await snapshotKernelState()).toBe(before)
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

test('a volume that dmsetup activated under any uuid is found beside the volumes of two pools', async () => {
  await withPool((pool, { name }) =>
    withPool(async other => {
      const [origin, idle] = await Promise.all([1, 2].map(() => pool.createVolume({ sizeBytes: MiB })))
      await origin!.activate()
      await (await other.createVolume({ sizeBytes: MiB })).activate()
      const pools = dmInfo(name)!.number
      const foreign = scratch.name('foreign')
      // The last is what this library would give a volume of a pool that another program has started.
      for (const uuid of ['', 'LVM-5347f790', `DMTHIN-${pools}-${idle!.id}`]) {
        dmCreate(foreign, `0 2048 thin ${pools} ${idle!.id}`, uuid)
        expect((await expectCode(idle!.activate(), 'DM_ALREADY_ACTIVE')).detail).toBe(foreign)
        const [refused] = await pool.activateMany([idle!])
        expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'DM_ALREADY_ACTIVE' } })
        const found = await pool.volumes()
        expect(found.map(({ id, name: device }) => [id, device])).toEqual([
          [origin!.id, origin!.name],
          [idle!.id, foreign],
        ])
        dmRemove(foreign)
      }
      await idle!.activate()
    }),
  )
})

test('a volume that dmsetup activated is found on a machine with many devices, which is not asked for all of them', async () => {
  const mapper = await DeviceMapper.open()
  const many = Array.from({ length: 150 }, () => scratch.name('many'))
  for (const each of many) await mapper.create({ name: each })
  await withPool(async (pool, { name }) => {
    const volumes = await Promise.all([1, 2, 3].map(() => pool.createVolume({ sizeBytes: MiB })))
    await volumes[0]!.activate()
    const foreign = scratch.name('foreign')
    dmCreate(foreign, `0 2048 thin ${dmInfo(name)!.number} ${volumes[1]!.id}`)
    for (let time = 0; time < 3; time++) {
      expect((await expectCode(volumes[1]!.activate(), 'DM_ALREADY_ACTIVE')).detail).toBe(foreign)
      expect((await pool.volumes()).map(({ active }) => active)).toEqual([true, true, false])
    }
    await volumes[2]!.activate()
    dmRemove(foreign)
    await volumes[1]!.activate()
    expect((await pool.volumes()).map(({ active }) => active)).toEqual([true, true, true])
  })
  for (const each of many) await mapper.remove(each)
})

test('devices of other programs that do not lie on the pool do not hinder an activation', async () => {
  await withPool(async (pool, { name }) => {
    await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const volume = await pool.createVolume({ sizeBytes: MiB })
    const [zero, thin] = [scratch.name('zero'), scratch.name('thin')]
    dmCreate(zero, '0 2048 zero')
    dmCreate(thin, `0 2048 thin ${dmInfo(name)!.number} 0`)
    await volume.activate()
    expect((await pool.volumes()).map(({ active }) => active)).toEqual([true, true])
    for (const each of [zero, thin]) dmRemove(each)
  })
})

test('a volume that dmsetup activated in addition cannot be activated again until that device is removed', async () => {
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

test('a second activation is rejected after a restart of the pool under another device number', async () => {
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

test('an object of a removed pool does not change another pool with the same device number', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const { number } = dmInfo(name)!
    dmRemove(volume.name)
    dmRemove(name)
    await withPool(async other => {
      const theirs = await (await other.createVolume({ sizeBytes: MiB })).activate()
      const idle = await other.createVolume({ sizeBytes: MiB })
      expect(dmInfo(other.name)!.number).toBe(number)
      const before = await snapshotKernelState()
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
      expect(await snapshotKernelState()).toBe(before)
      expect(await theirs.status()).toMatchObject({ state: 'active' })
      expect((await other.volumes()).map(({ id }) => id)).toEqual([0, 1])
    })
  })
})

test('volumes with the same id in two pools are independent', async () => {
  await withPool(first =>
    withPool(async second => {
      for (const pool of [first, second]) await (await pool.createVolume({ sizeBytes: MiB, id: 1 })).activate()
      expect(markedDevices()).toHaveLength(4)
    }),
  )
})
