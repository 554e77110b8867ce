// A call with a wrong option is refused before the kernel is asked: here there is no kernel to ask.
import { Pending } from '../../../lib/base/pending'
import { MappedDevice, zero } from '../../../lib/entry/kernel'
import {
  alignedBuffer,
  bindMount,
  BlockDevice,
  detectFileSystem,
  freeze,
  growFileSystem,
  holdersOf,
  LoopDevice,
  mount,
  remount,
  setPropagation,
  thaw,
  ThinPool,
  ThinVolume,
  trim,
  unmount,
  whileFrozen,
} from '../../../lib/entry/index'
import type { KernelPort } from '../../../lib/kernel/port/kernel-port'
import { ThinIds } from '../../../lib/pool/state/thin-ids'
import { rejection, thrown } from '../../helpers/errors/thrown'
import { Reserve } from '../../../lib/pool/state/space-reserve'
import { SnapshotClock } from '../../../lib/pool/state/snapshot-clock'

const nobody = new Proxy({} as KernelPort, {
  get: (_, name) => {
    throw new Error(`the kernel was asked: ${String(name)}`)
  },
})
const pool = {
  port: nobody,
  name: 'demo',
  address: { device: 0xfd00 },
  device: 0xfd00,
  number: '253:0',
  uuid: '',
  dataBlockBytes: 65536,
  mapperLinks: false,
  durability: 'committed' as const,
  record: undefined,
  metadataDevice: '7:1',
  metadataPath: '/dev/loop1',
  clock: new SnapshotClock(() => Promise.reject(new Error('the superblock was read'))),
  reserve: new Reserve('demo', { dataBytes: 0, metadataBytes: 0 }, 65536, () =>
    Promise.reject(new Error('the status was read')),
  ),
  counts: { waits: 0, growths: 0 },
  resumes: { watch: undefined },
  pending: new Pending('pool demo'),
  ids: new ThinIds(() => Promise.reject(new Error('the metadata was read'))),
}
const volume = (sizeBytes?: number) => new ThinVolume(pool, { id: 7, sizeBytes })

const data = { file: 'data.img', sizeBytes: 2 ** 30 }
const metadata = { file: 'metadata.img', sizeBytes: 2 ** 30 }
const table = [zero({ lengthSectors: 8 })]
type Call = (options: never) => Promise<unknown>
const CALLS: [name: string, call: Call, least: object][] = [
  ['ThinPool.create', options => ThinPool.create(options), { name: 'demo', data, metadata }],
  ['ThinPool.open', options => ThinPool.open(options), { name: 'demo' }],
  ['ThinPool.check', options => ThinPool.check(options), { name: 'demo' }],
  ['ThinPool.repair', options => ThinPool.repair(options), { name: 'demo' }],
  ['LoopDevice.attach', options => LoopDevice.attach(options), { file: 'data.img' }],
  ['LoopDevice.list', options => LoopDevice.list(options), {}],
  ['MappedDevice.create', options => MappedDevice.create(options), { name: 'demo', table }],
  ['MappedDevice.open', options => MappedDevice.open('demo', options), {}],
  ['mount', options => mount(options), { source: '/dev/dm-1', target: '/mnt', type: 'ext4' }],
  ['LoopDevice.findLeaked', options => LoopDevice.findLeaked(options), {}],
  ['unmount', options => unmount('/mnt', options), {}],
  ['remount', options => remount('/mnt', options), {}],
  ['bindMount', options => bindMount(options), { source: '/a', target: '/b' }],
  ['setPropagation', options => setPropagation('/mnt', 'private', options), {}],
  ['holdersOf', options => holdersOf('/dev/x', options), {}],
  ['BlockDevice.open', options => BlockDevice.open('/dev/x', options), {}],
  ['detectFileSystem', options => detectFileSystem('/dev/x', options), {}],
  ['freeze', options => freeze('/mnt', options), {}],
  ['thaw', options => thaw('/mnt', options), {}],
  ['whileFrozen', options => whileFrozen('/mnt', async () => 1, options), {}],
  ['trim', options => trim('/mnt', options), {}],
  ['growFileSystem', options => growFileSystem('/mnt', options), {}],
  ['activate', options => volume(512).activate(options), {}],
  ['deactivate', options => volume().deactivate(options), {}],
  ['snapshot', options => volume().snapshot(options), {}],
  ['status', options => volume().status(options), {}],
  ['refresh', options => volume().refresh(options), {}],
  ['bookmark', options => volume().bookmark('/x', options), {}],
  ['delete', options => volume().delete(options), {}],
  ['destroy', options => volume().destroy(options), {}],
]

describe.each(CALLS)('%s', (name, call, least) => {
  const refusal = (options: unknown) => rejection(() => call(options as never))

  test('rejects an unknown option, and names it', async () => {
    const error = await refusal({ ...least, tpyo: 1 })
    expect(error.code).toBe('DM_INVALID_ARGUMENT')
    expect(error.message).toContain(`${name}: unknown option "tpyo"; known are `)
  })

  test('rejects a signal that is not an AbortSignal', async () => {
    expect(await refusal({ ...least, signal: new AbortController() })).toMatchObject({
      code: 'DM_INVALID_ARGUMENT',
      message: 'signal must be an AbortSignal, but is an object',
    })
  })

  test.each([[null], [7], [[]]])('rejects %p as options', async options => {
    expect((await refusal(options)).message).toContain(`${name}: options must be an object`)
  })
})

const WRONG: [name: string, call: () => Promise<unknown>, message: string][] = [
  ['a pool without a name', () => ThinPool.open(''), 'name must be a non-empty string'],
  [
    'a flag that is a number',
    () => ThinPool.open({ name: 'demo', repair: 1 as never }),
    'repair must be true or false',
  ],
  [
    'a check without a depth of that name',
    () => ThinPool.check({ name: 'demo', depth: 'deep' as never }),
    'depth must',
  ],
  ['a check without metadata', () => ThinPool.check({ name: 'demo', data }), 'metadata must be'],
  [
    'a check of a start that is unknown',
    () => ThinPool.open({ name: 'demo', data, metadata, check: true as never }),
    "check must be 'quick', 'full', false or a function",
  ],
  ['a repair to an empty path', () => ThinPool.repair({ name: 'demo', to: '' }), 'to must be a path'],
  [
    'a transaction id that is a number',
    () => ThinPool.repair({ name: 'demo', transactionId: 7 as never }),
    'transactionId must be a bigint',
  ],
  ['a loop device without a file', () => LoopDevice.attach({} as never), 'file must be a path'],
  ['an offset of a part of a sector', () => LoopDevice.attach({ file: 'x', offsetBytes: 513 }), 'offsetBytes must be'],
  [
    'a block size of a loop device that exceeds a page',
    () => LoopDevice.attach({ file: 'x', blockSizeBytes: 8192 }),
    'blockSizeBytes must be',
  ],
  ['a mapped device without a name', () => MappedDevice.create({ table } as never), 'name must be'],
  ['a mapped device without a table', () => MappedDevice.create({ name: 'x' } as never), 'a table must be'],
  [
    'a table with an undefined segment',
    () => MappedDevice.create({ name: 'x', table: [undefined as never] }),
    'segment 0',
  ],
  ['an address with both a name and a uuid', () => MappedDevice.open({ name: 'a', uuid: 'b' }), 'an address is one of'],
  ['a mount without a type', () => mount({ source: '/dev/x', target: '/mnt' } as never), 'type must be a path'],
  [
    'mount data that is not a string',
    () => mount({ source: '/dev/x', target: '/mnt', type: 'xfs', data: 7 as never }),
    'data must be a string without NUL',
  ],
  [
    'mount data with a NUL',
    () => mount({ source: '/dev/x', target: '/mnt', type: 'xfs', data: 'nouuid\0,x' }),
    'data must be a string without NUL',
  ],
  ['an empty mount point', () => unmount(''), 'target must be a path'],
  ['a loop number of 21 bits', () => LoopDevice.attach({ file: 'x', number: 2 ** 20 }), 'number must be'],
  ['a long reference', () => LoopDevice.attach({ file: 'x', reference: 'a'.repeat(64) }), 'reference must have'],
  ['an empty reference', () => LoopDevice.attach({ file: 'x', reference: '' }), 'reference must have'],
  ['direct that is not a boolean', () => BlockDevice.open('/dev/x', { direct: 1 as never }), 'direct must be'],
  ['a device without a path', () => BlockDevice.open(''), 'path must be a path'],
  ['a remount flag that is not a boolean', () => remount('/mnt', { noExec: 'yes' as never }), 'noExec must be'],
  ['data in a remount of one mount alone', () => remount('/mnt', { mountAlone: true, data: 'x' }), 'data belongs to'],
  [
    'a recursive read-only bind mount',
    () => bindMount({ source: '/a', target: '/b', recursive: true, readOnly: true }),
    'readOnly with recursive',
  ],
  ['an unknown propagation', () => setPropagation('/mnt', 'toString' as never), 'propagation must be one of'],
  ['a body that is not a function', () => whileFrozen('/mnt', 7 as never), 'body must be a function'],
  ['a freeze with a timeout of zero', () => whileFrozen('/mnt', async () => 1, { timeoutMs: 0 }), 'timeoutMs must be'],
  ['a trim of zero bytes', () => trim('/mnt', { lengthBytes: 0 }), 'lengthBytes must be'],
  ['a volume of zero bytes', () => volume().activate({ sizeBytes: 0 }), 'sizeBytes must be'],
  ['a name with a slash', () => volume(512).activate({ name: 'a/b' }), 'has "/"'],
  ['an id of 25 bits', () => volume().snapshot({ id: 2 ** 24 }), 'id must be'],
  ['a negative timeout', () => volume().deactivate({ timeoutMs: -1 }), 'timeoutMs must be'],
]

test.each(WRONG)('%s is rejected with DM_INVALID_ARGUMENT', async (_, call, message) => {
  const error = await rejection(call)
  expect(error.code).toBe('DM_INVALID_ARGUMENT')
  expect(error.message).toContain(message)
})

test('activate() and snapshot() of a volume of unknown size reject with DM_SIZE_UNKNOWN', async () => {
  expect(await rejection(() => volume().activate())).toMatchObject({ code: 'DM_SIZE_UNKNOWN' })
  expect(await rejection(() => volume().snapshot({ activate: true }))).toMatchObject({ code: 'DM_SIZE_UNKNOWN' })
})

test('alignedBuffer rejects a size that no buffer can have', () => {
  expect(thrown(() => alignedBuffer(2 ** 40))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
  expect(thrown(() => alignedBuffer(-1))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
})

test('path and status() of an inactive volume fail with DM_NOT_ACTIVE', async () => {
  expect(thrown(() => volume().path)).toMatchObject({ code: 'DM_NOT_ACTIVE', device: 'demo-7' })
  expect(await rejection(() => volume().status())).toMatchObject({ code: 'DM_NOT_ACTIVE' })
})

test('methods of a closed volume reject with DM_CLOSED', async () => {
  const closed = volume(512)
  await closed.close()
  for (const call of [() => closed.activate(), () => closed.snapshot(), () => closed.delete()]) {
    expect(await rejection(call)).toMatchObject({ code: 'DM_CLOSED', message: 'volume 7 of pool demo is closed' })
  }
})

test('ThinPool.create and ThinPool.open with an aborted signal reject without a call of the kernel', async () => {
  const signal = AbortSignal.abort('why')
  const plan = { name: 'demo', data, metadata, signal }
  for (const call of [() => ThinPool.create(plan), () => ThinPool.open({ name: 'demo', signal })]) {
    expect(await rejection(call)).toMatchObject({ code: 'ABORT_ERR', cause: 'why' })
  }
})
