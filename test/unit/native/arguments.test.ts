// What the native part takes for arguments. TypeScript checks its callers; what is missing all the same must throw before
// anything is done, and never count as 0 or "": that would erase from the first byte on.
import { loadAddon } from '../../../lib/kernel/load-addon.js'

const addon = loadAddon() as Record<string, (...args: unknown[]) => unknown>

const address = { uuid: 'DMTHIN-none' }
const table = [{ startSectors: 0, lengthSectors: 8, type: 'zero', parameters: '' }]
const pool = { device: 1, name: 'none', uuid: 'DMTHIN-none' }
const guard = { pool, ownPrefix: 'DMTHIN-' }
const removal = { pool, looks: true }
const snapshot = { pool, ownPrefix: '', originUuid: 'none', originId: 0, ids: [1], committed: true, udevFlags: 0 }
const move = { pool, device: address, lockedId: 0, originId: 0, id: 1, table, udevFlags: 0 }
const device = { name: 'none', uuid: '', table }
const memory = new Uint8Array(1)

/** Arguments of each function that are all needed, but for the number of the call, which is the last. */
const NEEDED: Readonly<Record<string, readonly unknown[]>> = {
  activate: [guard, device, 0],
  activateMany: [guard, [device], 0, null],
  activeThins: [1],
  alignedBuffer: [1],
  allocateFile: ['none'],
  armEvents: [0],
  bindMount: [{ source: 'none', target: 'none', recursive: false, readOnly: false }],
  blockErase: [0, 'zeroOut', 0, 0],
  blockFlush: [0, false],
  blockInfo: [0],
  blockOpen: [{ path: 'none', readOnly: true, exclusive: false, direct: false }],
  blockRead: [0, 0, memory],
  blockReread: [0],
  blockSetReadOnly: [0, true],
  blockSizeBytes: ['none'],
  blockWrite: [0, 0, memory],
  cancel: [0],
  commit: [address],
  create: ['none', '', 0, 0],
  createSparse: ['none', 1],
  createThin: [{ pool, id: 0, committed: true }],
  deactivate: [removal, address, 0, 0, 0],
  deactivateMany: [removal, [{ address, thinId: 0 }], 0, 0, null],
  deleteFile: ['none'],
  deviceStatus: [address, 0],
  foreignThins: [1, 'DMTHIN-'],
  digestFinish: [0],
  digestOpen: [],
  digestUpdate: [0, [memory]],
  freeze: ['none'],
  growFile: ['none', 1],
  growFileSystem: ['none'],
  growVolumeFileSystem: ['none', 'none', 0],
  holders: [1],
  holdersOfMount: ['none'],
  identify: ['none'],
  listDevices: [{}],
  listVersions: [],
  lockNode: ['none'],
  lockPool: ['none'],
  lockThin: ['none', 0],
  loopAttach: [{ file: 'none' }],
  loopChangeFile: [0, 'none'],
  loopDetach: [0, 0],
  loopDetachAtLastClose: [0],
  loopHold: [0],
  loopList: [],
  loopSetCapacity: [0],
  loopSetDirectIo: [0, false],
  loopStatus: [0],
  metadataNext: [0],
  metadataOpen: ['none', false],
  metadataRead: [0, [0]],
  metadataUsage: [0, [0], 0, 0],
  metadataWalk: [0, { root: 1, metadataBlocks: 1, dataBlocks: 1, from: 0, to: 1, byData: false, same: false }],
  mount: [{ source: 'none', target: 'none', type: 'none', flags: 0, data: '' }],
  mountDetached: [{ source: 'none', type: 'none', flags: 0, data: '' }],
  moveToSnapshot: [move],
  nextList: [0, {}, false],
  noop: [],
  openEvents: [],
  peek: ['none', [0, 1]],
  pollEvents: [0],
  inventory: [address],
  deviceLines: [address, 0],
  poolStatus: [address, 'none'],
  readBlocks: ['none', [0], 4096, false],
  release: [0],
  remount: [{ target: 'none', set: 0, clear: 0, mountAlone: false, data: '' }],
  remove: [address, 0, false, 0, 0],
  removeAll: [0],
  rename: ['none', 'other', 0, 0],
  resume: [address, 0, 0, 0],
  setGeometry: [address, '1 1 1 0'],
  sha256: [memory],
  setPropagation: ['none', 0],
  setUuid: ['none', 'other', 0, 0],
  snapshot: [snapshot],
  snapshotActive: [snapshot, guard, { name: 'none', uuid: '', table: [] }, 0],
  statusMany: ['DMTHIN-none-', new Uint32Array(1)],
  suspend: [address, 0],
  syncFile: [0],
  syncFileSystem: [0],
  tableClear: [address],
  tableDeps: [address, 0],
  tableLoad: [address, table, 0],
  tableStatus: [address, 0],
  targetMessage: [address, 0, 'none', 0, false],
  targetMessages: [address, 0, ['none'], false],
  targetVersion: ['none'],
  thaw: ['none'],
  treeChangesNext: [0],
  treeChangesOpen: [{ upper: 'none', detail: false }],
  treeFinish: [0, false],
  treeOpen: ['none', 1, 1],
  treeRead: [0, memory, memory],
  treeWrite: [0, memory, [memory]],
  trim: [{ path: 'none', offsetBytes: 0, minimumBytes: 0 }],
  tryLockPool: ['none'],
  udevBegin: [],
  udevSweep: [],
  udevWait: [0, 0],
  unmount: ['none', 0],
  version: [],
  wait: [address, 0, 0],
  wallClock: [],
  zeroBlocks: ['none', [0], 4096],
}

/** An address needs one of its keys, and none of them by name. */
const isOpen = (value: unknown): boolean => value === address

/** The argument without one value anywhere in it. */
function without(value: unknown): unknown[] {
  if (Array.isArray(value)) {
    const list: readonly unknown[] = value
    return list.flatMap((each, at) => without(each).map(less => list.map((old, i) => (i === at ? less : old))))
  }
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || isOpen(value)) return [undefined]
  const fields = Object.entries(value)
  const partly = fields.flatMap(([key, each]) => without(each).map(less => ({ ...value, [key]: less })))
  return [undefined, ...partly]
}

/** Another type for each number, string and boolean. */
const otherwise = (value: unknown): unknown[] =>
  typeof value === 'number' ? ['0', -1, 0.5, NaN, 2 ** 53] : typeof value === 'string' ? [0] : [0, 'true']

const thrownBy = (name: string, args: readonly unknown[]): string => {
  try {
    const answer = addon[name]!(...args, 0)
    if (answer instanceof Promise) answer.catch(() => {})
    return 'nothing'
  } catch (fault) {
    return (fault as Error).name
  }
}

test('the addon has the functions of this list, and no other', () => {
  expect(Object.keys(addon).sort()).toEqual(Object.keys(NEEDED).sort())
})

test.each(Object.entries(NEEDED).filter(([, args]) => args.length > 0))(
  '%s throws if one of its arguments or one of their fields is missing',
  (name, args) => {
    const calls = args.flatMap((each, at) => without(each).map(less => args.map((old, i) => (i === at ? less : old))))
    expect(calls.map(call => thrownBy(name, call))).toEqual(calls.map(() => 'TypeError'))
  },
)

test.each(Object.entries(NEEDED).filter(([name]) => name !== 'thaw'))(
  '%s throws if a plain argument has another type',
  (name, args) => {
    const plain = args.flatMap((each, at) => (typeof each === 'object' ? [] : [at]))
    const calls = plain.flatMap(at => otherwise(args[at]).map(other => args.map((old, i) => (i === at ? other : old))))
    expect(calls.map(call => thrownBy(name, call))).toEqual(calls.map(() => 'TypeError'))
  },
)

test.each([
  ['loopStatus', [2 ** 32]],
  ['loopHold', [2 ** 31]],
  ['syncFile', [2 ** 31]],
  ['unmount', ['none', 2 ** 32]],
  ['removeAll', [2 ** 32]],
])('%s throws if a number does not fit in its parameter', (name, args) => {
  expect(thrownBy(name, args)).toBe('TypeError')
})

test('a handle of another kind is rejected with EBADF, as a closed one is', async () => {
  const events = addon['openEvents']!() as number
  const failure = { errno: 9 }
  await expect(addon['blockRead']!(events, 0, memory, 0)).rejects.toMatchObject(failure)
  await expect(addon['treeChangesNext']!(events, 0)).rejects.toMatchObject(failure)
  await expect(addon['metadataNext']!(events, 0)).rejects.toMatchObject(failure)
  await expect(addon['metadataRead']!(events, [0], 0)).rejects.toMatchObject(failure)
  await expect(addon['metadataUsage']!(events, [1], 1, 1, 0)).rejects.toMatchObject(failure)
  const walk = { root: 1, metadataBlocks: 1, dataBlocks: 1, from: 0, to: 1, byData: false, same: false }
  await expect(addon['metadataWalk']!(events, walk, 0)).rejects.toMatchObject(failure)
  await expect(addon['treeFinish']!(events, false, 0)).rejects.toMatchObject(failure)
  await expect(addon['digestUpdate']!(events, [memory], 0)).rejects.toMatchObject(failure)
  await expect(addon['digestFinish']!(events, 0)).rejects.toMatchObject(failure)
  await addon['release']!(events, 0)
})
