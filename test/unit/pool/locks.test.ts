// Calls that make, open, grow and remove a pool take turns, among the calls of one process and among processes.
import { memoryKernel, type MemoryKernel } from '../../../lib/entry/testing.js'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import { FairLocks } from '../../../lib/base/fair-locks.js'
import { DEVICE_FLAG } from '../../../lib/kernel/port/device-port.js'
import { processOn } from '../../helpers/process/processes.js'

const KINDS = ['one process', 'several processes'] as const

/** As many kernels to pass as `count`, of one process or one each. */
function kernelsOf(kernel: MemoryKernel, kind: (typeof KINDS)[number], count: number) {
  const one = processOn(kernel)
  return Array.from({ length: count }, () => (kind === 'one process' ? one : processOn(kernel)))
}

const codeOf = (result: PromiseSettledResult<unknown>): unknown =>
  result.status === 'fulfilled' ? 'fulfilled' : (result.reason as { code?: unknown }).code

describe.each(KINDS)('concurrent calls in %s', kind => {
  test('ThinPool.create of one pool: one call creates it, the others reject with DM_NAME_TAKEN', async () => {
    const kernel = memoryKernel()
    const options = kernel.poolOptions('images')
    const all = kernelsOf(kernel, kind, 4).map(each => ThinPool.create({ ...options, kernel: each }))
    const codes = (await Promise.allSettled(all)).map(codeOf).sort()
    expect(codes).toEqual(['DM_NAME_TAKEN', 'DM_NAME_TAKEN', 'DM_NAME_TAKEN', 'fulfilled'])
    expect(kernel.left()).toMatchObject({ devices: ['images'], loops: ['/dev/loop0', '/dev/loop1'] })
    expect(kernel.left().files).toHaveLength(2)
  })

  test('ThinPool.create of pools with other names on the same files: one call creates its pool, the others reject', async () => {
    const kernel = memoryKernel()
    const options = kernel.poolOptions('images')
    const all = kernelsOf(kernel, kind, 3).map((each, at) =>
      ThinPool.create({ ...options, name: `images-${at}`, kernel: each }),
    )
    const codes = (await Promise.allSettled(all)).map(codeOf).sort()
    expect(codes).toEqual(['DM_FILE_ATTACHED', 'DM_FILE_ATTACHED', 'fulfilled'])
    expect(kernel.left().devices).toHaveLength(1)
    expect(kernel.left().files).toHaveLength(2)
  })

  test('ThinPool.create on the same files: if the first fails, the waiting call creates the files again', async () => {
    const kernel = memoryKernel()
    const options = kernel.poolOptions('images')
    const [first, second] = kernelsOf(kernel, kind, 2)
    kernel.fail('DM_TABLE_LOAD', 'EIO')
    const all = [
      ThinPool.create({ ...options, kernel: first! }),
      ThinPool.create({ ...options, name: 'other', kernel: second! }),
    ]
    expect((await Promise.allSettled(all)).map(codeOf)).toEqual(['DM_TABLE_REFUSED', 'fulfilled'])
    expect(kernel.left()).toMatchObject({ devices: ['other'], loops: ['/dev/loop0', '/dev/loop1'] })
    expect(kernel.left().files).toHaveLength(2)
  })

  test('ThinPool.open of one stopped pool: all calls open it', async () => {
    const kernel = memoryKernel()
    const options = kernel.poolOptions('images')
    await (await ThinPool.create(options)).remove()
    const all = kernelsOf(kernel, kind, 4).map(each => ThinPool.open({ ...options, kernel: each }))
    const pools = await Promise.all(all)
    for (const pool of pools) expect(await pool.status()).toMatchObject({ mode: 'rw' })
    expect(pools.flatMap(pool => pool.findings)).toEqual([])
    expect(kernel.left().devices).toEqual(['images'])
  })

  test('ThinPool.grow of data and of metadata: the pool has both sizes, and is not suspended', async () => {
    const kernel = memoryKernel()
    const options = kernel.poolOptions('images')
    await ThinPool.create(options)
    const [first, second] = await Promise.all(
      kernelsOf(kernel, kind, 2).map(each => ThinPool.open({ name: 'images', kernel: each })),
    )
    await Promise.all([first!.grow({ dataBytes: 128 * MiB }), second!.grow({ metadataBytes: 8 * MiB })])
    const { flags } = await processOn(kernel).port.deviceStatus({ name: 'images' })
    expect(flags & (DEVICE_FLAG.suspended | DEVICE_FLAG.inactiveTable)).toBe(0)
    expect(await first!.status()).toMatchObject({
      data: { totalBytes: 128 * MiB },
      metadata: { totalBytes: 8 * MiB },
    })
  })

  test('ThinPool.open: an abort ends the wait of its own call, and calls queued after it proceed', async () => {
    const kernel = memoryKernel()
    const options = kernel.poolOptions('images')
    await ThinPool.create(options)
    const [first, second, third] = kernelsOf(kernel, kind, 3)
    const held = first!.holdAt(2)
    const opening = ThinPool.open({ name: 'images', kernel: first! })
    await held.reached
    const abort = new AbortController()
    const given = ThinPool.open({ name: 'images', kernel: second!, signal: abort.signal })
    const behind = ThinPool.open({ name: 'images', kernel: third! })
    abort.abort()
    await expect(given).rejects.toMatchObject({ code: 'ABORT_ERR' })
    held.go()
    await Promise.all([opening, behind])
  })
})

describe('FairLocks', () => {
  test('grants shared locks together, and an exclusive lock after them and before later shared ones', async () => {
    const locks = new FairLocks()
    const order: string[] = []
    const first = await locks.take('a', 'shared')
    const second = await locks.take('a', 'shared')
    const alone = locks.take('a', 'exclusive').then(release => (order.push('exclusive'), release))
    const late = locks.take('a', 'shared').then(release => (order.push('shared'), release))
    expect(locks.tryTake('a', 'shared')).toBeUndefined()
    first()
    second()
    ;(await alone)()
    ;(await late)()
    expect(order).toEqual(['exclusive', 'shared'])
  })

  test('locks each key separately, and ignores the second release of a lock', async () => {
    const locks = new FairLocks()
    const release = await locks.take('a', 'exclusive')
    await locks.take('b', 'exclusive')
    release()
    const again = await locks.take('a', 'exclusive')
    release()
    expect(locks.tryTake('a', 'exclusive')).toBeUndefined()
    again()
    expect(locks.tryTake('a', 'exclusive')).toBeDefined()
  })

  test('grants the next lock if a waiter is aborted', async () => {
    const locks = new FairLocks()
    const release = await locks.take('a', 'shared')
    const abort = new AbortController()
    const alone = locks.take('a', 'exclusive', abort.signal)
    const late = locks.take('a', 'shared')
    abort.abort()
    await expect(alone).rejects.toMatchObject({ code: 'ABORT_ERR' })
    ;(await late)()
    release()
    expect(locks.tryTake('a', 'exclusive')).toBeDefined()
  })
})

describe('calls in the check of ThinPool.open', () => {
  /** Opens a pool at rest with a check that runs `inside`, and gives what became of that and of the open. */
  async function opened(inside: (pool: ReturnType<MemoryKernel['poolOptions']>) => Promise<unknown>) {
    const kernel = memoryKernel()
    const options = kernel.poolOptions('images')
    await (await ThinPool.create(options)).remove()
    let result: PromiseSettledResult<unknown> | undefined
    const check = async () => void ([result] = await Promise.allSettled([inside(options)]))
    const pool = await ThinPool.open({ ...options, check })
    expect(kernel.left().devices).toContain('images')
    return { kernel, pool, code: codeOf(result!) }
  }

  test.each<[string, Parameters<typeof opened>[0]]>([
    ['ThinPool.open of the same pool', options => ThinPool.open(options)],
    ['ThinPool.open of the same name', ({ name, kernel }) => ThinPool.open({ name, kernel })],
    ['ThinPool.create of the same pool', options => ThinPool.create(options)],
    ['ThinPool.open of the same files with another name', options => ThinPool.open({ ...options, name: 'other' })],
    [
      'ThinPool.open from a timer that the check started',
      options => new Promise(go => setTimeout(go, 1)).then(() => ThinPool.open(options)),
    ],
  ])('%s rejects with DM_BUSY', async (_, inside) => {
    expect((await opened(inside)).code).toBe('DM_BUSY')
  })

  test('ThinPool.create of another pool succeeds, and so does the check of another open', async () => {
    const { code } = await opened(async ({ kernel }) => {
      const others = memoryKernel()
      const options = { ...others.poolOptions('images'), kernel: others }
      await (await ThinPool.create(options)).remove()
      await ThinPool.open({ ...options, check: async () => {} }) // of the same name, in another kernel
      const files = {
        data: { file: '/memory/2', sizeBytes: 16 * MiB },
        metadata: { file: '/memory/3', sizeBytes: 4 * MiB },
      }
      await ThinPool.create({ kernel: kernel, name: 'second', ...files })
    })
    expect(code).toBe('fulfilled')
  })

  test('a call that the check started without waiting for it succeeds after the check', async () => {
    let late: Promise<ThinPool> | undefined
    const { pool } = await opened(async options => {
      late = new Promise(go => setTimeout(go, 50)).then(() => ThinPool.open(options))
    })
    expect((await late!).name).toBe(pool.name)
  })
})
