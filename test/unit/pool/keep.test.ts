// pool.keep(): the arithmetic of growth, the defaults, and the checks of its options.
import { memoryKernel } from '../../../lib/entry/testing.js'
import { GiB, KiB, MiB, ThinPool, type DmThinError } from '../../../lib/entry/index.js'
import { possibleBytes, wantedBytes, type Room } from '../../../lib/pool/keeper/growth'
import { ruleOf, type GrowthRule } from '../../../lib/pool/keeper/keep-options'
import type { SpaceStatus } from '../../../lib/pool/state/status'

const BLOCK = 64 * KiB
const space = (usedBlocks: number, totalBlocks: number, blockBytes = BLOCK): SpaceStatus => ({
  usedBlocks,
  totalBlocks,
  blockBytes,
  usedBytes: usedBlocks * blockBytes,
  totalBytes: totalBlocks * blockBytes,
})
const rule: GrowthRule = { growBelowBytes: 4 * BLOCK, stepBytes: 8 * BLOCK, maxBytes: 100 * BLOCK, minBytes: 0 }

test.each([
  ['with enough free space it stays', rule, space(11, 16), 16],
  ['at the mark it grows by a step', rule, space(12, 16), 24],
  ['a step more than the mark is free afterwards', rule, space(16, 16), 32],
  ['the least size comes first', { ...rule, minBytes: 40 * BLOCK }, space(0, 16), 40],
  ['the least size is rounded up to a block', { ...rule, minBytes: 40 * BLOCK + 512 }, space(0, 16), 41],
  ['a step that is no whole block is rounded up', { ...rule, stepBytes: BLOCK / 2 }, space(13, 16), 18],
  ['maxBytes does not hide what is wanted', { ...rule, maxBytes: 16 * BLOCK }, space(16, 16), 32],
])('the wanted size of a device: %s', (_, wantedRule, status, blocks) => {
  expect(wantedBytes(wantedRule, status)).toBe(blocks * BLOCK)
})

const room = (hostBlocks: number | undefined, allocatedBlocks = 0): Room => ({
  backingBytes: 16 * BLOCK,
  allocatedBytes: allocatedBlocks * BLOCK,
  hostBytes: hostBlocks === undefined ? undefined : hostBlocks * BLOCK,
})

test.each([
  ['with space it is what is wanted', rule, space(12, 16), room(1000), 32],
  ['of a block device nothing below limits it', rule, space(12, 16), room(undefined), 32],
  ['free blocks of the pool are promised first', rule, space(12, 16), room(10, 12), 22],
  ['blocks in use whose writes are on the way are promised too', rule, space(12, 16), room(10, 9), 19],
  ['what the file has allocated is no promise', rule, space(12, 16), room(10, 16), 26],
  ['on a full host it stays', rule, space(12, 16), room(0), 16],
  ['maxBytes is the limit', { ...rule, maxBytes: 20 * BLOCK + 1 }, space(12, 16), room(1000), 20],
  ['it never shrinks', { ...rule, maxBytes: 8 * BLOCK }, space(12, 16), room(1000), 16],
])('the possible size of a device: %s', (_, possibleRule, status, below, blocks) => {
  expect(possibleBytes(32 * BLOCK, possibleRule, status, below)).toBe(blocks * BLOCK)
})

test('the defaults follow the size, within bounds', () => {
  const below = (role: 'data' | 'metadata', totalBytes: number) => ruleOf(role, {}, { totalBytes }, true).growBelowBytes
  expect([below('data', MiB), below('data', GiB), below('data', 1000 * GiB)]).toEqual([64 * MiB, 256 * MiB, 4 * GiB])
  expect([below('metadata', MiB), below('metadata', 64 * MiB)]).toEqual([4 * MiB, 16 * MiB])
  expect(below('metadata', 8 * GiB)).toBe(64 * MiB)
  expect(ruleOf('metadata', {}, { totalBytes: MiB }, true).minBytes).toBe(64 * MiB)
  expect(ruleOf('metadata', {}, { totalBytes: MiB }, false).minBytes).toBe(0)
  expect(ruleOf('data', {}, { totalBytes: MiB }, true)).toMatchObject({ minBytes: 0, stepBytes: 64 * MiB })
})

describe('ThinPool.keep on the memory kernel', () => {
  test.each([
    ['an unknown option', { grow: true }, /unknown option "grow"/],
    ['an unknown option of a device', { data: { step: 1 } }, /data: unknown option "step"/],
    ['a hook that is no function', { metadata: { extend: 'lvextend' } }, /metadata.extend must be a function/],
    ['a callback that is no function', { onGrow: 1 }, /onGrow must be a function/],
    ['a least size above the largest', { data: { minBytes: GiB, maxBytes: MiB } }, /data.minBytes/],
    ['no time', { lookEveryMs: 0 }, /lookEveryMs/],
  ])('%s is rejected by its name', async (_, options, message) => {
    const pool = await ThinPool.create(memoryKernel().poolOptions())
    await expect(pool.keep(options as never)).rejects.toThrow(message)
    expect((await pool.status()).whenFull).toBe('queue_if_no_space')
  })

  test('setFreeFileSpace: a full host is reported; the writer waits, and continues when there is space', async () => {
    const kernel = memoryKernel({ dataBlocks: 16 })
    const pool = await ThinPool.create(kernel.poolOptions())
    kernel.setFreeFileSpace(2 * BLOCK)
    const reported: DmThinError[] = []
    const options = { data: { growBelowBytes: 4 * BLOCK }, metadata: { minBytes: 0, growBelowBytes: 1 } }
    const onError = (error: DmThinError) => reported.push(error)
    const keeper = await pool.keep({ ...options, hostReserveBytes: 0, lookEveryMs: 10, onError })
    const volume = await (await pool.createVolume({ sizeBytes: 16 * MiB })).activate()
    const writing = kernel.write(volume.path, 0, 30 * BLOCK)
    while (reported.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
    expect(reported).toMatchObject([{ code: 'DM_POOL_NOT_GROWN', detail: 'data' }])
    kernel.setFreeFileSpace(GiB)
    await writing
    await keeper.stop()
    expect(kernel.left().files.filter(file => file.includes('keeper'))).toEqual([])
  })
})
