// Scenario                                                  Test
// D  thindev basic, setup_without_new, zero_size, destroy   a volume is created …; an id that exists …; sizes that are …
// C  CreateDevice, ActivateDevice, DeviceStatus ("0 -")     a volume is created …; guard.test.ts
// C  DiscardBlocks; K discard                               a discard %s
// K  id 2^24 fails, 2^24-1 works                            the largest id is accepted …
// K  create/delete cycle, rolling                           volumes are created and deleted in turn …
// K  delete provisioned, unknown, active                    deleting a volume frees its …
// D  `-` in a thin status (M fails on it, defect)           a volume is created …
// D  name-exists check after create_thin (defect)           activate() rejects a name …
// A  device left if resume fails; lengths cut (defects)     an id that exists …; sizes that are …
// udev links / no udev                                      the node of a volume exists when …
// @udev both
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { MiB, type ThinPool } from '../../../lib/entry/index.js'
import { BLOCK, pattern, seedOf, writeAt, writeBlock } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { snapshotKernelState } from '../../helpers/kernel/kernel-state.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmCreate, dmInfo, dmMessage, dmRemove, dmStatus, dmTable } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const udev = process.env.DM_THIN_UDEV === '1'
const idsOf = async (pool: ThinPool) => (await pool.volumes()).map(volume => volume.id)

test('a volume is created, activated, written, deactivated, activated again with its content, and deleted', async () => {
  await withPool(async (pool, { name }) => {
    const volume = await pool.createVolume({ sizeBytes: 16 * MiB })
    expect(volume).toMatchObject({ id: 0, name: `${name}-0`, active: false, sizeBytes: 16 * MiB })
    expect(() => volume.path).toThrow(/is not active/)
    await expectCode(volume.status(), 'DM_NOT_ACTIVE')

    await volume.activate()
    expect(dmTable(volume.name)).toBe(`0 32768 thin ${dmInfo(name)!.number} 0`)
    expect(dmStatus(volume.name)).toBe('0 32768 thin 0 -')
    expect(await volume.status()).toEqual({
      state: 'active',
      sizeBytes: 16 * MiB,
      mappedBytes: 0,
      highestMappedByte: null,
    })
    await writeBlock(volume.path, 5, 1)
    expect(dmStatus(volume.name)).toBe('0 32768 thin 128 767')
    expect(await volume.status()).toMatchObject({ mappedBytes: BLOCK, highestMappedByte: 6 * BLOCK - 1 })

    await volume.deactivate()
    expect(dmInfo(volume.name)).toBeUndefined()
    await volume.deactivate()
    await volume.activate({ name: scratch.name('other') })
    expect(await seedOf(volume.path, 5, [1])).toBe(1)
    await volume.destroy()
    expect(await idsOf(pool)).toEqual([])
    expect((await pool.status()).data!.usedBlocks).toBe(0)
  })
})

test('the node of a volume exists when activate() resolves, and its link is made if udevd runs', async () => {
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    const node = volume.path
    expect(existsSync(node)).toBe(true)
    const link = `/dev/mapper/${volume.name}`
    if (udev) run('udevadm', ['settle'])
    expect(existsSync(link) ? await realpath(link) : undefined).toBe(udev ? node : undefined)
    await volume.deactivate()
    expect(existsSync(node)).toBe(false)
    if (udev) run('udevadm', ['settle'])
    expect(existsSync(link)).toBe(false)
  })
})

function childrenOf(task: string): string[] {
  try {
    return readFileSync(`/proc/self/task/${task}/children`, 'utf8').split(' ').filter(Boolean)
  } catch {
    return [] // the thread has ended
  }
}

test('twenty cycles of a volume create no semaphore and leave no child process', async () => {
  // udev cookies of others leak semaphores until the machine has none left; this library asks for none.
  const semaphores = () => readFileSync('/proc/sysvipc/sem', 'utf8')
  await withPool(async pool => {
    const children = () => readdirSync('/proc/self/task').flatMap(childrenOf)
    const before = semaphores()
    const childrenBefore = children() // checks of earlier tests' metadata may still run
    for (let round = 0; round < 20; round++) {
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      expect(semaphores()).toBe(before)
      await volume.destroy()
    }
    expect(children().filter(each => !childrenBefore.includes(each))).toEqual([])
  })
})

test('a volume that is activated read-only rejects writes', async () => {
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate({ readOnly: true })
    expect(dmInfo(volume.name)).toMatchObject({ readOnly: true })
    await expect(writeBlock(volume.path, 0, 1)).rejects.toMatchObject({ code: 'EPERM' })
    expect((await pool.status()).data!.usedBlocks).toBe(0)
  })
})

test('an id that exists, is unknown or was deleted is rejected, and leaves neither a device nor a thin id', async () => {
  scratch.log.allow(/device-mapper: (thin|table|ioctl): /)
  await withPool(async pool => {
    const volume = await pool.createVolume({ sizeBytes: MiB, id: 3 })
    const before = await snapshotKernelState()
    expect(await expectCode(pool.createVolume({ sizeBytes: MiB, id: 3 }), 'DM_VOLUME_EXISTS')).toMatchObject({
      errno: 17,
      operation: 'DM_TARGET_MSG',
      detail: 'create_thin 3',
    })
    await expectCode(pool.volume(4), 'DM_VOLUME_NOT_FOUND')
    const other = await pool.volume(3, { sizeBytes: MiB })
    await volume.delete()
    const fault = await expectCode(other.activate(), 'DM_VOLUME_NOT_FOUND')
    expect(fault.rollback).toEqual([{ operation: 'DM_DEV_REMOVE', device: other.name, errno: 0 }])
    await expectCode(other.delete(), 'DM_VOLUME_NOT_FOUND')
    await expectCode(other.snapshot(), 'DM_VOLUME_NOT_FOUND')
    expect(await snapshotKernelState()).toBe(before)
    expect(await idsOf(pool)).toEqual([])
  })
})

test('activate() rejects a name that exists, and succeeds with another name', async () => {
  await withPool(async (pool, { name }) => {
    const taken = scratch.name('taken')
    const volume = await pool.createVolume({ sizeBytes: MiB, name: taken })
    dmCreate(taken, '0 8 zero')
    const before = await snapshotKernelState()
    await expectCode(volume.activate(), 'DM_NAME_TAKEN')
    await expectCode(volume.activate({ name }), 'DM_NAME_TAKEN')
    expect(await snapshotKernelState()).toBe(before)
    await volume.activate({ name: scratch.name('free') })
    expect(await idsOf(pool)).toEqual([0])
    dmRemove(taken)
  })
})

test('the largest id is accepted, and ids beyond 24 bits are rejected before the kernel is called', async () => {
  await withPool(async pool => {
    const last = await pool.createVolume({ sizeBytes: MiB, id: 2 ** 24 - 1 })
    expect(dmTable((await last.activate()).name)).toMatch(/ 16777215$/)
    for (const id of [2 ** 24, -1, 1.5, Number.NaN, '1' as unknown as number]) {
      await expectCode(pool.createVolume({ sizeBytes: MiB, id }), 'DM_INVALID_ARGUMENT')
      await expectCode(pool.volume(id), 'DM_INVALID_ARGUMENT')
      await expectCode(last.snapshot({ id }), 'DM_INVALID_ARGUMENT')
    }
    expect(await idsOf(pool)).toEqual([2 ** 24 - 1])
  })
})

test('sizes that are zero, partial sectors, too large or unknown are rejected', async () => {
  await withPool(async pool => {
    for (const sizeBytes of [0, 511, MiB + 1, -512, 0.5, 2 ** 60, undefined as unknown as number]) {
      await expectCode(pool.createVolume({ sizeBytes }), 'DM_INVALID_ARGUMENT')
    }
    expect(await idsOf(pool)).toEqual([])
    await pool.createVolume({ sizeBytes: MiB })
    const found = (await pool.volumes())[0]!
    const before = await snapshotKernelState()
    await expectCode(found.activate(), 'DM_SIZE_UNKNOWN')
    await expectCode(found.activate({ sizeBytes: 700 }), 'DM_INVALID_ARGUMENT')
    expect(await snapshotKernelState()).toBe(before)
    await found.activate({ sizeBytes: 2 * MiB })
    expect(dmTable(found.name)).toContain('0 4096 thin ')
  })
})

test('a size larger than the kernel’s limit is rejected by the kernel, and leaves no device', async () => {
  scratch.log.allow(/device-mapper: (table|ioctl): /)
  await withPool(async pool => {
    const volume = await pool.createVolume({ sizeBytes: 2 ** 53 - 512 })
    const before = await snapshotKernelState()
    const outcome = await volume.activate().then(
      () => 'active',
      (fault: { code: string }) => fault.code,
    )
    if (outcome === 'active') await volume.deactivate()
    else expect(outcome).toBe('DM_TABLE_REFUSED')
    expect(await snapshotKernelState()).toBe(before)
  })
})

test('deleting a volume frees its exclusive blocks, and an active volume is not deleted', async () => {
  scratch.log.allow(/thin: (Creation|Deletion) of .* failed/)
  await withPool(async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
    await writeAt(volume.path, 0, pattern(1, 4 * MiB))
    const before = await snapshotKernelState()
    expect(await expectCode(volume.delete(), 'DM_VOLUME_ACTIVE')).toMatchObject({ errno: 16, detail: 'delete 0' })
    expect(await snapshotKernelState()).toBe(before)
    expect((await pool.status()).data!.usedBlocks).toBe(64)
    await volume.deactivate()
    await volume.delete()
    expect((await pool.status()).data!.usedBlocks).toBe(0)
  })
})

test('volumes are created and deleted in turn, and an id of another program is skipped', async () => {
  scratch.log.allow(/thin: (Creation|Deletion) of .* failed/)
  await withPool(async (pool, { name }) => {
    const window = [await pool.createVolume({ sizeBytes: MiB })]
    for (let made = 0; made < 50; made++) {
      window.push(await pool.createVolume({ sizeBytes: MiB }))
      if (window.length > 5) await window.shift()!.delete()
    }
    dmMessage(name, `create_thin ${window.at(-1)!.id + 1}`)
    const next = await pool.createVolume({ sizeBytes: MiB })
    expect(next.id).toBe(window.at(-1)!.id + 2)
    expect(await idsOf(pool)).toHaveLength(window.length + 2)
  })
})

test.each([
  ['frees blocks of the pool and of the file', {}, 0],
  ['frees blocks of the pool only, without passdown', { noDiscardPassdown: true }, 0],
  ['frees nothing if the pool ignores discards', { ignoreDiscard: true }, 16],
])('a discard %s', async (_, options, blocksLeft) => {
  await withPool(options, async pool => {
    const volume = await (await pool.createVolume({ sizeBytes: 4 * MiB })).activate()
    await writeAt(volume.path, 0, pattern(1, MiB))
    expect((await pool.status()).data!.usedBlocks).toBe(16)
    // dmsetup's own view of the refusal is the status of the command: blkdiscard fails where discards are ignored.
    const discard = () => run('blkdiscard', [volume.path])
    if (blocksLeft === 0) discard()
    else expect(discard).toThrow(/not supported/)
    expect((await pool.status()).data!.usedBlocks).toBe(blocksLeft)
    expect((await volume.status()).mappedBytes).toBe(blocksLeft * BLOCK)
  })
})
