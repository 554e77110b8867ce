import { type BlockSource } from '../../../lib/metadata/block-source.js'
import { listThins, readPoolMetadata, thinUsage } from '../../../lib/metadata/reader.js'
import { imageDirectory, MetadataImage, restoreImage } from '../../helpers/metadata/image.js'
import { memoryBlockSource } from '../../helpers/metadata/source.js'

const directory = imageDirectory()
let older: MetadataImage
let newer: MetadataImage

beforeAll(() => {
  const image = (name: string, transactionId: number, ids: readonly number[]): MetadataImage => {
    const thins = ids.map(id => ({ id, parts: [{ virtual: 0, data: id * 1000, length: 600 }] }))
    restoreImage(directory.path(name), { dataBlocks: 10000, transactionId, thins }, 512)
    return new MetadataImage(directory.path(name))
  }
  older = image('older', 1, [1, 2, 3])
  newer = image('newer', 2, [1, 3, 5, 7])
})
afterAll(() => directory.remove())

/** Serves, for the n-th request, the image that `choose(n)` names. */
function changing(choose: (request: number) => MetadataImage): BlockSource & { requests: number } {
  const source = {
    requests: 0,
    read: (blocks: readonly number[]) => memoryBlockSource(choose(source.requests++).bytes).read(blocks),
  }
  return source
}

/** A copy of the older image as a later commit left it: another transaction id. */
function committed(transactionId: number): MetadataImage {
  const image = new MetadataImage(older.bytes)
  image.view(0).setBigUint64(48, BigInt(transactionId), true)
  image.seal(0)
  return image
}

test('thinUsage returns the state after a commit that happens at any point of the walk, never a mixture', async () => {
  const before = await thinUsage(memoryBlockSource(older.bytes))
  const after = await thinUsage(memoryBlockSource(newer.bytes))
  const quiet = changing(() => older)
  await thinUsage(quiet)
  for (let at = 0; at < quiet.requests; at++) {
    expect(await thinUsage(changing(request => (request < at ? older : newer)))).toEqual(after)
  }
  expect(await thinUsage(changing(request => (request < quiet.requests ? older : newer)))).toEqual(before)
})

test('readPoolMetadata returns a list and a superblock of the same commit', async () => {
  const { superblock, thins } = await readPoolMetadata(changing(request => (request < 2 ? older : newer)))
  expect([superblock.transactionId, thins.map(({ id }) => id)]).toEqual([2n, [1, 3, 5, 7]])
})

test('corruption that is read during a commit is not reported', async () => {
  const torn = new MetadataImage(older.bytes)
  torn.block(torn.superblock.deviceDetailsRoot).fill(0)
  expect(await listThins(changing(request => (request === 1 ? torn : request < 2 ? older : newer)))).toHaveLength(4)
})

test('a superblock that is read half written is read again', async () => {
  const half = new MetadataImage(newer.bytes)
  half.block(0).set(older.block(0).subarray(0, 512))
  expect(await listThins(changing(request => (request === 0 ? half : newer)))).toHaveLength(4)
})

test('corruption that persists is reported with its block', async () => {
  const torn = new MetadataImage(older.bytes)
  const block = torn.superblock.deviceDetailsRoot
  torn.block(block).fill(0)
  const source = changing(() => torn)
  await expect(listThins(source)).rejects.toMatchObject({ code: 'DM_METADATA_CORRUPT', block })
  expect(source.requests).toBe(3)
})

test.each([1, 3, undefined])('commits during all %p attempts reject with DM_METADATA_BUSY', async attempts => {
  const source = changing(request => committed(request))
  const options = attempts === undefined ? {} : { attempts }
  await expect(listThins(source, options)).rejects.toMatchObject({
    code: 'DM_METADATA_BUSY',
    message: `The pool committed during each of ${attempts ?? 50} attempts to read its metadata`,
  })
  // Each attempt reads the details and the superblock; the first needs one more superblock to start from.
  expect(source.requests).toBe(1 + 2 * (attempts ?? 50))
})

test('a pool that does not commit during the last attempt is read', async () => {
  const source = changing(request => committed(Math.min(request, 5)))
  expect(await listThins(source, { attempts: 4 })).toHaveLength(3)
})

test.each([0, -1, 1.5, NaN])('%p attempts are rejected with a RangeError', async attempts => {
  await expect(
    listThins(
      changing(() => older),
      { attempts },
    ),
  ).rejects.toThrow(RangeError)
})

test('an aborted signal stops the call before its first read', async () => {
  const source = changing(() => older)
  const reason = new Error('no longer wanted')
  await expect(thinUsage(source, { signal: AbortSignal.abort(reason) })).rejects.toMatchObject({
    code: 'ABORT_ERR',
    cause: reason,
  })
  expect(source.requests).toBe(0)
})

test('an abort at any point of the walk stops the call', async () => {
  const quiet = changing(() => older)
  await thinUsage(quiet)
  for (let at = 0; at < quiet.requests - 1; at++) {
    const controller = new AbortController()
    const source = changing(request => {
      if (request === at) controller.abort()
      return older
    })
    await expect(thinUsage(source, { signal: controller.signal })).rejects.toMatchObject({ name: 'AbortError' })
    expect(source.requests).toBe(at + 1)
  }
})

test('an abort ends the attempts to read a pool that commits during every attempt', async () => {
  const controller = new AbortController()
  const source = changing(request => {
    if (request === 20) controller.abort()
    return committed(request)
  })
  await expect(listThins(source, { signal: controller.signal })).rejects.toMatchObject({ name: 'AbortError' })
  expect(source.requests).toBe(21)
})

test('an error of the source is passed on without another attempt', async () => {
  const failure = Object.assign(new Error('read failed'), { code: 'EIO' })
  let requests = 0
  const source: BlockSource = {
    async read(blocks) {
      if (++requests === 2) throw failure
      return memoryBlockSource(older.bytes).read(blocks)
    },
  }
  await expect(listThins(source)).rejects.toBe(failure)
  expect(requests).toBe(2)
})

test('a source that returns too few bytes is rejected with a RangeError', async () => {
  await expect(listThins({ read: async () => [] })).rejects.toThrow(RangeError)
  await expect(listThins({ read: async () => [new Uint8Array(512)] })).rejects.toThrow(RangeError)
})
