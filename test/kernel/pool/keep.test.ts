// pool.keep() on the real kernel: dmsetup says what the table is, thin_check judges the metadata at the end of each pool,
// and file systems and patterns are the data.
// @udev both
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import {
  MiB,
  mount,
  ThinPool,
  unmount,
  type DmThinError,
  type ExtendRequest,
  type Growth,
  type Keeper,
  type KeepOptions,
  type ThinVolume,
} from '../../../lib/entry/index.js'
import { BLOCK, pattern, readAt, seedOf, writeAt, writeBlock, writeInTurn } from '../../helpers/kernel/blocks.js'
import { startChild } from '../../helpers/process/children.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { run } from '../../helpers/process/spawned.js'
import { dmCreate, dmInfo, dmStatus, dmTable, thinCheck } from '../../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const TIMEOUT = '/sys/module/dm_thin_pool/parameters/no_space_timeout'
const usualTimeout = readFileSync(TIMEOUT, 'utf8')
afterEach(() => writeFileSync(TIMEOUT, usualTimeout))
beforeEach(() => scratch.log.allow(/I\/O error/, /no free data space/, /reached low water mark/, /out-of-data-space/))

/** So long the kernel lets writers wait: far longer than the keeper needs to make them wait again on a busy machine. */
const SHORT_S = 6
const LONGER_MS = 8_000
const HOUR_MS = 3_600_000
const SMALL = { dataBytes: 16 * BLOCK }
const DATA = { growBelowBytes: 4 * BLOCK, stepBytes: 8 * BLOCK }
const METADATA = { minBytes: 0, growBelowBytes: 1 }

/** A program that may wait for space: the keeper of this process must have its turn meanwhile. */
const program = promisify(execFile)

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10)
}

test('a kept pool takes a file system of ten times its size: all data is written and read back', async () => {
  await withPool({ dataBytes: 2 * MiB }, async (pool, { name, dataFile }) => {
    const growths: Growth[] = []
    const errors: DmThinError[] = []
    const hooks = {
      onGrow: (growth: Growth) => growths.push(growth),
      onError: (error: DmThinError) => errors.push(error),
    }
    await using keeper = await pool.keep({
      lookEveryMs: HOUR_MS,
      data: { growBelowBytes: 12 * MiB, stepBytes: 4 * MiB },
      ...hooks,
    })
    expect(dmTable(name)).toMatch(/ 128 192 0$/) // 192 blocks free raise the event, no feature: it queues
    const volume = await (await pool.createVolume({ sizeBytes: 64 * MiB })).activate()
    await program('mkfs.ext4', ['-q', volume.path])
    const target = scratch.path('mounted')
    mkdirSync(target)
    await mount({ source: volume.path, target, type: 'ext4' })
    const content = pattern(5, 20 * MiB)
    await writeFile(`${target}/content`, content)
    await program('sync', ['-f', target])
    await unmount(target)
    await mount({ source: volume.path, target, type: 'ext4' })
    const hash = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')
    expect(hash(readFileSync(`${target}/content`))).toBe(hash(content))
    await unmount(target)
    await program('fsck.ext4', ['-fn', volume.path])
    expect(errors).toEqual([])
    expect(growths.filter(({ role }) => role === 'data').length).toBeGreaterThan(1)
    expect(growths[0]).toEqual({ role: 'metadata', fromBytes: 4 * MiB, toBytes: 64 * MiB })
    const loopBytes = () => Number(readFileSync(`/sys/class/block/${loopOf(dataFile)}/size`, 'utf8')) * 512
    await until(async () => (await pool.metrics()).dataTotalBytes === loopBytes()) // a growth may be in progress
    expect(dmStatus(name)).toContain(`/${loopBytes() / BLOCK} - rw `)
    await keeper.stop()
    expect(dmTable(name)).toMatch(/ 128 0 1 error_if_no_space$/)
    rmSync(target, { recursive: true })
  })
})

const loopOf = (file: string): string =>
  run('losetup', ['--associated', file, '--noheadings', '--output', 'NAME']).trim().replace('/dev/', '')

test('the writers of a pool that cannot grow wait past the kernel’s time-out, without an error', async () => {
  writeFileSync(TIMEOUT, `${SHORT_S}`)
  await withPool(SMALL, async pool => {
    const errors: DmThinError[] = []
    const data = { ...DATA, maxBytes: 16 * BLOCK }
    const onError = (error: DmThinError) => errors.push(error)
    await using _ = await pool.keep({ data, metadata: METADATA, lookEveryMs: 200, onError })
    const volume = await (await pool.createVolume({ sizeBytes: 4 * MiB })).activate()
    await writeAt(volume.path, 0, pattern(1, 16 * BLOCK))
    const writing = writeBlock(volume.path, 20, 2)
    await until(async () => (await pool.metrics()).waits === 1)
    await sleep(LONGER_MS)
    expect((await pool.status()).whenFull).toBe('queue_if_no_space')
    expect(errors).toMatchObject([{ code: 'DM_POOL_NOT_GROWN', detail: 'data' }])
    expect(errors[0]!.missingBytes).toBeGreaterThanOrEqual(8 * BLOCK)
    await pool.grow({ dataBytes: 32 * BLOCK })
    await writing
    expect(await seedOf(volume.path, 20, [2])).toBe(2)
    expect((await readAt(volume.path, 0, 16 * BLOCK)).equals(pattern(1, 16 * BLOCK))).toBe(true)
  })
})

test('a full host is reported; writers wait, and continue without a loss when the host has space again', async () => {
  const host = scratch.path('host')
  mkdirSync(host)
  run('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', host])
  const name = scratch.name('host')
  const metadata = scratch.path('host-metadata')
  const pool = await ThinPool.create({
    name,
    data: { file: `${host}/data`, sizeBytes: 16 * BLOCK },
    metadata: { file: metadata, sizeBytes: 4 * MiB },
  })
  run('fallocate', ['-l', '14M', `${host}/others`]) // 2 MiB are left: 1 MiB for the blocks that the pool has, 1 MiB more
  const errors: DmThinError[] = []
  const onError = (error: DmThinError) => errors.push(error)
  await using keeper = await pool.keep({
    data: DATA,
    metadata: METADATA,
    hostReserveBytes: 0,
    lookEveryMs: 50,
    onError,
  })
  const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
  const content = pattern(3, 80 * BLOCK)
  let ended = 0
  // More writers than Node has threads for them: the keeper needs none of those.
  const write = async (part: number) => {
    const at = part * 10 * BLOCK
    await writeInTurn(volume.path, at, content.subarray(at, at + 10 * BLOCK))
    ended += 1
  }
  const writing = Array.from({ length: 8 }, (_, part) => write(part))
  await until(async () => (await pool.metrics()).waits > 0)
  await until(() => errors.length > 0)
  expect(errors[0]).toMatchObject({ code: 'DM_POOL_NOT_GROWN', detail: 'data' })
  expect(errors[0]!.message).toContain(`the file system of ${host}/data`)
  await sleep(300)
  expect(ended).toBeLessThan(8)
  rmSync(`${host}/others`)
  await Promise.all(writing)
  expect((await readAt(volume.path, 0, 80 * BLOCK)).equals(content)).toBe(true)
  expect((await pool.status()).mode).toBe('rw')
  await keeper.stop()
  await pool.remove({ deactivate: true })
  thinCheck(metadata)
  run('umount', [host])
})

describe('a pool on a block device that a hook grows', () => {
  type Turn = (request: ExtendRequest, resize: (blocks: number) => Promise<void>) => void | Promise<void>

  /** Keeps a pool on a linear device. Call n of the hook is `turns[n]`, the last one repeatedly. */
  async function kept(
    turns: readonly Turn[],
    options: Partial<KeepOptions>,
    body: (at: {
      readonly pool: ThinPool
      readonly keeper: Keeper
      readonly volume: ThinVolume
      readonly requests: readonly ExtendRequest[]
      readonly errors: readonly DmThinError[]
    }) => Promise<void>,
  ): Promise<void> {
    const device = scratch.name('linear')
    const file = scratch.path(device)
    run('truncate', ['-s', '64M', file])
    const loop = run('losetup', ['--find', '--show', file]).trim()
    const table = (blocks: number) => `0 ${blocks * 128} linear ${loop} 0`
    dmCreate(device, table(16))
    const metadata = scratch.path(`${device}-metadata`)
    const pool = await ThinPool.create({
      name: scratch.name('pool'),
      data: { device: `/dev/dm-${dmInfo(device)!.number.split(':')[1]}` },
      metadata: { file: metadata, sizeBytes: 4 * MiB },
    })
    const resize = async (blocks: number) => {
      await program('dmsetup', ['load', device, '--table', table(blocks)])
      await program('dmsetup', ['resume', '--noudevsync', device])
    }
    const requests: ExtendRequest[] = []
    const errors: DmThinError[] = []
    const extend = (request: ExtendRequest) => {
      requests.push(request)
      return turns[Math.min(requests.length, turns.length) - 1]!(request, resize)
    }
    const keeper = await pool.keep({
      data: { ...DATA, extend },
      metadata: METADATA,
      lookEveryMs: 50,
      onError: error => errors.push(error),
      ...options,
    })
    const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
    await body({ pool, keeper, volume, requests, errors })
    await keeper.stop()
    await pool.remove({ deactivate: true })
    thinCheck(metadata)
    run('dmsetup', ['remove', '--noudevsync', '--retry', device])
    run('losetup', ['--detach', loop])
  }

  const enough: Turn = ({ wantedBytes }, resize) => resize(wantedBytes / BLOCK)
  const never: Turn = () => new Promise(() => {})
  const causes = (errors: readonly DmThinError[]) =>
    errors.map(({ code, cause }) => [code, (cause as Error | undefined)?.message])

  test('a hook that throws or gives too little is reported, and the writer continues after the next call', async () => {
    const turns: Turn[] = [() => Promise.reject(new Error('no extents left')), (_, resize) => resize(17), enough]
    await kept(turns, {}, async ({ pool, volume, requests, errors }) => {
      await expect(pool.keep({ metadata: METADATA })).rejects.toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
      await writeInTurn(volume.path, 0, pattern(1, 30 * BLOCK))
      expect(causes(errors)).toEqual([
        ['DM_POOL_NOT_GROWN', 'no extents left'],
        ['DM_POOL_NOT_GROWN', undefined],
      ])
      expect(requests[0]).toMatchObject({ pool: pool.name, role: 'data', sizeBytes: 16 * BLOCK })
      expect(requests[0]!.wantedBytes).toBeGreaterThanOrEqual(24 * BLOCK)
      expect((await readAt(volume.path, 0, 30 * BLOCK)).equals(pattern(1, 30 * BLOCK))).toBe(true)
    })
  })

  test('a hook that does not end in time has its signal aborted and is reported, and is called again after it', async () => {
    const untilAborted: Turn = ({ signal }) =>
      new Promise(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
    await kept([untilAborted, enough], { extendTimeoutMs: 300 }, async ({ volume, errors }) => {
      await writeInTurn(volume.path, 0, pattern(1, 30 * BLOCK))
      expect(causes(errors)[0]).toEqual(['DM_POOL_NOT_GROWN', 'extend did not end within 300 ms'])
      expect((await readAt(volume.path, 0, 30 * BLOCK)).equals(pattern(1, 30 * BLOCK))).toBe(true)
    })
  })

  test('a hook that never ends is called once; writers wait past the kernel’s time-out, and the keeper stops', async () => {
    writeFileSync(TIMEOUT, `${SHORT_S}`)
    await kept([never], { extendTimeoutMs: 200 }, async ({ pool, keeper, volume, requests, errors }) => {
      let ended = false
      const writing = writeInTurn(volume.path, 0, pattern(1, 30 * BLOCK)).finally(() => (ended = true))
      const failed = expect(writing).rejects.toMatchObject({ code: expect.stringMatching(/^(EIO|ENOSPC)$/) as unknown })
      await until(async () => (await pool.metrics()).waits === 1 && errors.length > 0)
      await sleep(LONGER_MS)
      expect([ended, requests.length]).toEqual([false, 1])
      await keeper.stop()
      expect(dmTable(pool.name)).toMatch(/ 1 error_if_no_space$/)
      await failed
    })
  })
})

describe('a keeper of another process that is killed', () => {
  const keepIn = (name: string) =>
    startChild(`
      const pool = await dmThin.ThinPool.open(${JSON.stringify(name)})
      await pool.keep(${JSON.stringify({ data: DATA, metadata: METADATA, lookEveryMs: HOUR_MS })})
      console.log('keeping')
      await new Promise(() => {})`)
  const kill = async (child: ReturnType<typeof keepIn>) => {
    child.process.kill('SIGKILL')
    await child.result.catch(() => {})
  }

  test('is replaced by one that waited, and blocked writers continue', async () => {
    await withPool(SMALL, async (pool, { name }) => {
      const child = keepIn(name)
      await child.saw('keeping')
      await using keeper = await pool.keep({ data: DATA, metadata: METADATA, lookEveryMs: HOUR_MS })
      expect(keeper.active).toBe(false)
      await kill(child)
      const volume = await (await pool.createVolume({ sizeBytes: 4 * MiB })).activate()
      await writeInTurn(volume.path, 0, pattern(1, 40 * BLOCK))
      expect(keeper.active).toBe(true)
      expect((await readAt(volume.path, 0, 40 * BLOCK)).equals(pattern(1, 40 * BLOCK))).toBe(true)
    })
  })

  test('is replaced in a process whose threads all wait for the pool, also after another process opened it', async () => {
    await withPool({ ...SMALL, lowWaterMarkBlocks: 3 }, async (pool, { name }) => {
      const volume = await (await pool.createVolume({ sizeBytes: 4 * MiB })).activate()
      const child = startChild(`
        const pool = await dmThin.ThinPool.open(${JSON.stringify(name)})
        const data = { growBelowBytes: 1, maxBytes: ${16 * BLOCK} }
        await pool.keep({ data, metadata: ${JSON.stringify(METADATA)}, lookEveryMs: ${HOUR_MS} })
        console.log('keeping')
        await new Promise(() => {})`)
      await child.saw('keeping')
      await using keeper = await pool.keep({ data: DATA, metadata: METADATA, lookEveryMs: HOUR_MS })
      const writing = Array.from({ length: 8 }, (_, part) =>
        writeInTurn(volume.path, part * 4 * BLOCK, pattern(part, 4 * BLOCK)),
      )
      await until(async () => (await pool.status()).mode === 'out_of_data_space')
      await kill(child)
      expect((await ThinPool.open(name)).findings).toEqual([])
      await Promise.all(writing)
      expect(keeper.active).toBe(true)
      for (let part = 0; part < 8; part++) {
        expect((await readAt(volume.path, part * 4 * BLOCK, 4 * BLOCK)).equals(pattern(part, 4 * BLOCK))).toBe(true)
      }
      await keeper.stop()
      expect(dmTable(name)).toMatch(/ 128 3 1 error_if_no_space$/)
    })
  })

  test('leaves options that the next open restores, if no other keeper waits', async () => {
    await withPool({ ...SMALL, lowWaterMarkBlocks: 3 }, async (_, { name }) => {
      const child = keepIn(name)
      await child.saw('keeping')
      expect(dmTable(name)).toMatch(/ 128 4 0$/)
      const beside = await ThinPool.open(name)
      expect(beside.findings).toEqual([])
      expect(dmTable(name)).toMatch(/ 128 4 0$/)
      await kill(child)
      expect(dmTable(name)).toMatch(/ 128 4 0$/)
      const pool = await ThinPool.open(name)
      expect(pool.findings).toEqual([{ kind: 'dead-keeper', device: name, action: 'restored' }])
      expect(dmTable(name)).toMatch(/ 128 3 1 error_if_no_space$/)
      expect((await ThinPool.open(name)).findings).toEqual([])
    })
  })
})
