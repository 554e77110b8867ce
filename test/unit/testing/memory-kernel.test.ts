// The hands with which a user's test moves the memory kernel. What the kernel itself does is in the contract.
import {
  BlockDevice,
  detectFileSystem,
  freeze,
  KiB,
  LoopDevice,
  MiB,
  mount,
  remount,
  ThinPool,
  trim,
  unmount,
  type Kernel,
} from '../../../lib/entry/index.js'
import { DeviceMapper, MappedDevice, zero } from '../../../lib/entry/kernel.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { memoryKernel, type MemoryKernel } from '../../../lib/entry/testing.js'
import { watchDevices } from '../../../lib/events/device-watch.js'

// On a laptop there is no addon: whoever loads it here fails.
jest.mock('../../../lib/kernel/load-addon', () => ({
  loadAddon: () => {
    throw new Error('the addon was loaded')
  },
}))

const BLOCK = 64 * KiB
const NOTHING = { devices: [], loops: [], files: [], mounts: [] }

async function withPool(
  body: (kernel: MemoryKernel, pool: ThinPool) => Promise<void>,
  kernel = memoryKernel({ dataBlocks: 100 }),
): Promise<void> {
  const pool = await ThinPool.create(kernel.poolOptions('demo'))
  await body(kernel, pool)
  await pool.remove({ deactivate: true, deleteFiles: true })
  expect(kernel.left()).toEqual(NOTHING)
}

describe('a pool in memory', () => {
  test('has the requested size, counts its blocks, and leaves nothing behind when it is removed', () =>
    withPool(async (kernel, pool) => {
      expect((await pool.status()).data!.totalBlocks).toBe(100)
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      await kernel.write(volume.path, 0, 3 * BLOCK)
      const copy = await volume.snapshot({ activate: true })
      await kernel.write(copy.path, 0, Uint8Array.of(1, 2, 3))
      expect(await kernel.read(copy.path, 0, 4)).toEqual(Uint8Array.of(1, 2, 3, 0x5a))
      expect(await pool.usage()).toEqual([
        { id: 0, mappedBlocks: 3, exclusiveBlocks: 1, sharedBlocks: 2 },
        { id: 1, mappedBlocks: 3, exclusiveBlocks: 1, sharedBlocks: 2 },
      ])
    }))

  test('is created on files of given sizes, and opened again from them', async () => {
    const kernel = memoryKernel()
    const options = {
      kernel,
      name: 'own',
      data: { file: 'data.img', sizeBytes: 10 * 1024 * MiB },
      metadata: { file: 'metadata.img', sizeBytes: 64 * MiB },
    }
    const pool = await ThinPool.create(options)
    await pool.createVolume({ sizeBytes: MiB, id: 5 })
    await pool.remove()
    expect(kernel.left()).toMatchObject({ devices: [], loops: [] })
    expect(kernel.left().files.map(file => file.split('/').pop())).toEqual(['data.img', 'metadata.img'])
    const again = await ThinPool.open(options)
    expect((await again.volumes()).map(({ id }) => id)).toEqual([5])
  })

  test('is not visible in another memory kernel', async () => {
    const [first, second] = [memoryKernel(), memoryKernel()]
    await ThinPool.create(first.poolOptions('same'))
    await ThinPool.create(second.poolOptions('same'))
    expect(first.left().devices).toEqual(['same'])
  })

  test('rejects a kernel option that is not a kernel', async () => {
    const options = { ...memoryKernel().poolOptions('demo'), kernel: {} as Kernel }
    await expect(ThinPool.create(options)).rejects.toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
  })
})

describe('injected faults', () => {
  test('fail() makes the next call fail, and only that one', () =>
    withPool(async (kernel, pool) => {
      kernel.fail('TARGET_MSG', 'ENOSPC')
      await expect(pool.createVolume({ sizeBytes: MiB })).rejects.toMatchObject({
        code: 'DM_POOL_FULL',
        errno: 28,
        operation: 'DM_TARGET_MSG',
        device: 'demo',
      })
      await pool.createVolume({ sizeBytes: MiB })
      expect(await pool.volumes()).toHaveLength(1)
    }))

  test('fail() can skip calls and make several calls fail', () =>
    withPool(async (kernel, pool) => {
      kernel.fail('DM_TARGET_MSG', 'EIO', { after: 1, times: 2 })
      const codes = []
      for (let call = 0; call < 4; call++) {
        codes.push(
          await pool.createVolume({ sizeBytes: MiB }).then(
            () => 'made',
            fault => (fault as { code: string }).code,
          ),
        )
      }
      expect(codes).toEqual(['made', 'DM_KERNEL', 'DM_KERNEL', 'made'])
    }))

  test('clearFaults() removes injected faults', () =>
    withPool(async (kernel, pool) => {
      kernel.fail('TARGET_MSG', 'ENOSPC', { times: Infinity })
      await expect(pool.createVolume({ sizeBytes: MiB })).rejects.toMatchObject({ code: 'DM_POOL_FULL' })
      kernel.clearFaults()
      await pool.createVolume({ sizeBytes: MiB })
    }))

  test.each([
    'DM_DEV_CREATE',
    'TABLE_LOAD',
    'DEV_RESUME',
    'TABLE_STATUS',
    'LOOP_CONFIGURE',
    'create file',
    'pread',
  ] as const)('ThinPool.create that fails at %s rolls back its steps', async operation => {
    const kernel = memoryKernel()
    kernel.fail(operation, 'EIO')
    await expect(ThinPool.create(kernel.poolOptions())).rejects.toMatchObject({ errno: 5 })
    expect(kernel.left()).toEqual(NOTHING)
  })

  test('an activation whose resume fails leaves no device, and lists its rollback steps', () =>
    withPool(async (kernel, pool) => {
      const volume = await pool.createVolume({ sizeBytes: MiB })
      kernel.fail('DEV_RESUME', 'ENOMEM')
      await expect(volume.activate()).rejects.toMatchObject({
        code: 'DM_TABLE_REFUSED',
        rollback: [{ operation: 'DM_DEV_REMOVE', device: 'demo-0', errno: 0 }],
      })
      expect(kernel.left().devices).toEqual(['demo'])
    }))

  test('a snapshot retries to resume its origin, and is deleted if the origin cannot be resumed', () =>
    withPool(async (kernel, pool) => {
      const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      kernel.fail('DEV_RESUME', 'EIO', { times: 3 })
      expect((await origin.snapshot()).id).toBe(1)
      kernel.fail('DEV_RESUME', 'EIO', { times: 20 })
      await expect(origin.snapshot()).rejects.toMatchObject({
        errno: 5,
        operation: 'DM_DEV_RESUME',
        rollback: [{ operation: 'delete 2', device: 'demo', errno: 0 }],
      })
      expect(await pool.volumes()).toHaveLength(2)
    }))

  test('fail() makes a write or a read of a device node fail', () =>
    withPool(async (kernel, pool) => {
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      kernel.fail('write', 'EIO')
      kernel.fail('read', 'EIO')
      await expect(kernel.write(volume.path, 0, 512)).rejects.toMatchObject({ code: 'EIO' })
      await expect(kernel.read(volume.path, 0, 512)).rejects.toMatchObject({ code: 'EIO' })
      await kernel.write(volume.path, 0, 512)
    }))

  test('fail() rejects unknown operations and errors', () => {
    const kernel = memoryKernel()
    const code = { code: 'DM_INVALID_ARGUMENT' }
    const caught = (act: () => void): unknown => {
      try {
        return void act()
      } catch (fault) {
        return fault
      }
    }
    expect(caught(() => kernel.fail('TARGET_MESSAGE' as 'TARGET_MSG', 'EIO'))).toMatchObject(code)
    expect(caught(() => kernel.fail('TARGET_MSG', 'EWHAT' as 'EIO'))).toMatchObject(code)
    expect(caught(() => kernel.fail('TARGET_MSG', 'EIO', { times: 0 }))).toMatchObject(code)
    expect(caught(() => kernel.setMode('nobody', 'ro'))).toMatchObject(code)
    expect(caught(() => memoryKernel({ dataBlock: 1 } as object))).toMatchObject(code)
    expect(caught(() => kernel.hold('/dev/dm-9'))).toMatchObject(code)
  })
})

describe('modes and space', () => {
  test.each([
    ['ro', 'DM_POOL_READ_ONLY', { mode: 'ro', needsCheck: true }],
    ['out_of_metadata_space', 'DM_POOL_READ_ONLY', { mode: 'ro', needsCheck: false }],
    ['fail', 'DM_POOL_FAILED', { mode: 'fail', needsCheck: true }],
  ] as const)('a pool in mode %s rejects createVolume with %s', (mode, code, status) =>
    withPool(async (kernel, pool) => {
      kernel.setMode(pool, mode)
      expect(await pool.status()).toMatchObject(status)
      await expect(pool.createVolume({ sizeBytes: MiB })).rejects.toMatchObject({ code })
      kernel.setMode(pool, 'rw')
      await pool.createVolume({ sizeBytes: MiB })
    }),
  )

  test('a pool that needs a check rejects grow() with DM_POOL_READ_ONLY', () =>
    withPool(async (kernel, pool) => {
      kernel.setMode(pool, 'ro')
      await expect(pool.grow({ dataBytes: 200 * BLOCK })).rejects.toMatchObject({ code: 'DM_POOL_READ_ONLY' })
    }))

  test('writes to a full pool wait until it is drained', () =>
    withPool(async (kernel, pool) => {
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      kernel.fill(pool)
      expect(await pool.status()).toMatchObject({ mode: 'out_of_data_space', data: { usedBlocks: 100 } })
      const writing = kernel.write(volume.path, 0, BLOCK)
      await pool.createVolume({ sizeBytes: MiB })
      kernel.drain(pool)
      await writing
      expect(await pool.status()).toMatchObject({ mode: 'rw', data: { usedBlocks: 1 } })
    }))

  test('waiting writes fail after the timeout, and the status reports it', () =>
    withPool(async (kernel, pool) => {
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      kernel.fill(pool)
      const writing = kernel.write(volume.path, 0, BLOCK)
      kernel.expireNoSpace(pool)
      await expect(writing).rejects.toMatchObject({ code: 'ENOSPC' })
      expect(await pool.status()).toMatchObject({ mode: 'out_of_data_space', whenFull: 'error_if_no_space' })
    }))

  test('fill() leaves the requested number of blocks free', () =>
    withPool(async (kernel, pool) => {
      kernel.fill(pool, { leaveBlocks: 2 })
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      await kernel.write(volume.path, 0, 2 * BLOCK)
      expect(await pool.status()).toMatchObject({ mode: 'rw', data: { usedBlocks: 100 } })
    }))

  test('a discard frees the blocks that it covers completely', () =>
    withPool(async (kernel, pool) => {
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      await kernel.write(volume.path, 0, 4 * BLOCK)
      await kernel.discard(volume.path, BLOCK / 2, 2 * BLOCK)
      expect((await pool.status()).data!.usedBlocks).toBe(3)
    }))
})

describe('devices', () => {
  test('a held device rejects its removal with DM_BUSY and names the holder', () =>
    withPool(async (kernel, pool) => {
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      const close = kernel.hold(volume.path)
      await expect(volume.deactivate({ timeoutMs: 0 })).rejects.toMatchObject({
        code: 'DM_BUSY',
        holders: [{ kind: 'process', pid: process.pid }],
      })
      close()
      close()
      await volume.deactivate()
    }))

  test('the removal of a held device can be aborted', () =>
    withPool(async (kernel, pool) => {
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      const close = kernel.hold(volume.path)
      const giveUp = new AbortController()
      const removing = volume.deactivate({ signal: giveUp.signal })
      setTimeout(() => giveUp.abort(), 10)
      await expect(removing).rejects.toMatchObject({ code: 'ABORT_ERR', device: expect.any(String) as string })
      close()
    }))

  test('a mount keeps a volume busy until it is unmounted', () =>
    withPool(async (kernel, pool) => {
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      await mount({ source: volume.path, target: '/mnt/x', type: 'ext4', kernel })
      expect(kernel.left().mounts).toEqual(['/mnt/x'])
      await expect(volume.deactivate({ timeoutMs: 0 })).rejects.toMatchObject({
        holders: [{ kind: 'mount', path: '/mnt/x' }],
      })
      await unmount('/mnt/x', { kernel })
      await expect(unmount('/mnt/x', { kernel })).rejects.toMatchObject({ errno: 22 })
    }))

  test('loop devices of files in memory can serve as the devices of a pool', async () => {
    const kernel = memoryKernel()
    kernel.addFile('data.img', 64 * MiB)
    kernel.addFile('metadata.img', 4 * MiB)
    const data = await LoopDevice.attach({ file: 'data.img', kernel })
    const metadata = await LoopDevice.attach({ file: 'metadata.img', kernel })
    const pool = await ThinPool.create({
      kernel,
      name: 'on-loops',
      data: { device: data.path },
      metadata: { device: metadata.path },
    })
    await expect(data.detach({ timeoutMs: 0 })).rejects.toMatchObject({ code: 'DM_BUSY' })
    await pool.remove()
    // The kernel detaches the one at its last close, as it was told above; the other is the caller's.
    expect((await LoopDevice.list({ kernel })).map(({ path }) => path)).toEqual([metadata.path])
  })

  test('a listener that throws ends no watch, neither its own nor another', async () => {
    const kernel = memoryKernel()
    const [throwing, other] = [watchDevices({ kernel }), watchDevices({ kernel })]
    await Promise.all([throwing.ready, other.ready])
    const [thrown, heard]: [unknown[], string[]] = [[], []]
    const fault = new TypeError('odd')
    throwing.on('error', reason => thrown.push(reason))
    throwing.on('change', () => {
      throw fault
    })
    const twice = new Promise<void>(resolve => {
      other.on('change', ({ name }) => {
        heard.push(name)
        if (heard.length === 2) resolve()
      })
    })
    const dm = await DeviceMapper.open({ kernel })
    await dm.create({ name: 'first' })
    await dm.create({ name: 'second' })
    await twice
    expect(heard).toEqual(['first', 'second'])
    expect(thrown.every(reason => reason === fault)).toBe(true)
    expect(thrown.length).toBeGreaterThan(0)
    expect([throwing.closed, other.closed]).toEqual([false, false])
    throwing.close()
    other.close()
  })

  test('a watch reports devices that are added, raise an event, and are removed', () =>
    withPool(async (kernel, pool) => {
      const watch = watchDevices({ namePrefix: 'demo', kernel })
      await watch.ready
      const volume = await (await pool.createVolume({ sizeBytes: MiB })).activate()
      kernel.raiseEvent('demo')
      await volume.deactivate()
      const seen: string[] = []
      for await (const event of watch) {
        if (event.type === 'overflow') continue
        seen.push(`${event.type} ${event.name}`)
        // Of what one look finds, what is gone is told first.
        if (['added demo-0', 'event demo', 'removed demo-0'].every(each => seen.includes(each))) break
      }
      expect(seen.indexOf('added demo-0')).toBeLessThan(seen.indexOf('removed demo-0'))
    }))

  test('the low-level API works in memory', async () => {
    const kernel = memoryKernel()
    const dm = await DeviceMapper.open({ kernel })
    const { name } = await dm.create({ name: 'joined', uuid: 'example' })
    await dm.tableLoad(name, [{ type: 'zero', lengthSectors: 8, parameters: '' }])
    expect(await dm.resume(name)).toMatchObject({ path: '/dev/dm-0', liveTable: true, suspended: false })
    expect((await dm.listDevices()).map(each => each.name)).toEqual(['joined'])
    await dm.remove(name)
    expect(kernel.left()).toEqual(NOTHING)
  })
})

test('MappedDevice.create and MappedDevice.open use the kernel that is passed', async () => {
  const kernel = memoryKernel()
  const made = await MappedDevice.create({ kernel, name: 'demo', table: [zero({ lengthSectors: 8 })] })
  const opened = await MappedDevice.open('demo', { kernel })
  expect([opened.device, (await opened.table()).map(({ type }) => type)]).toEqual([made.device, ['zero']])
  await made.remove()
  await expectCode(MappedDevice.open('demo', { kernel }), 'DM_NOT_FOUND')
  expect(kernel.left()).toEqual(NOTHING)
})

test('calls that the memory kernel does not support reject with DM_UNSUPPORTED, without a call of the real kernel', async () => {
  const kernel = memoryKernel()
  const calls = [
    BlockDevice.open('/dev/none', { kernel }),
    detectFileSystem('/none', { kernel }),
    freeze('/none', { kernel }),
  ]
  for (const call of [...calls, trim('/none', { kernel }), remount('/none', { kernel })])
    await expectCode(call, 'DM_UNSUPPORTED')
})
