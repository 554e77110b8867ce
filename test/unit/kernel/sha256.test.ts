// SHA-256 in pieces: by the OpenSSL of this Node on native threads, and by node:crypto where there is none to call.
import { createHash, randomBytes } from 'node:crypto'
import { nativePort } from '../../../lib/kernel/native-port'
import type { Handle } from '../../../lib/kernel/port/handle'
import { Sha256, type DigestPort } from '../../../lib/kernel/sha256'

const MIB = 2 ** 20
const native = nativePort()
const withoutOpenSsl: DigestPort = {
  digestOpen: () => null,
  digestUpdate: () => Promise.reject(new Error('there is no native digest')),
  digestFinish: () => Promise.reject(new Error('there is no native digest')),
  sha256: () => Promise.resolve(null),
  release: () => Promise.reject(new Error('there is no native digest')),
}

/** The native port, which counts handles and fails on demand. */
class WatchedPort implements DigestPort {
  readonly open = new Set<Handle>()
  calls = 0
  bytes = 0
  failure: Error | undefined

  digestOpen() {
    const handle = native.digestOpen()
    if (handle !== null) this.open.add(handle)
    return handle
  }
  async digestUpdate(digest: Handle, chunks: readonly Uint8Array[]) {
    this.calls += 1
    this.bytes += chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    if (this.failure) throw this.failure
    await native.digestUpdate(digest, chunks)
  }
  digestFinish = (digest: Handle) => native.digestFinish(digest)
  sha256 = (memory: Uint8Array) => native.sha256(memory)
  async release(handle: Handle) {
    this.open.delete(handle)
    await native.release(handle)
  }
}

async function digestOf(port: DigestPort, pieces: readonly Uint8Array[]): Promise<string> {
  const digest = new Sha256(port)
  for (const piece of pieces) await digest.add(piece)
  const found = await digest.hex()
  await digest.close()
  return found
}

const expected = (pieces: readonly Uint8Array[]) => {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}

const cut = (bytes: Buffer, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size))

const random = randomBytes(9 * MIB + 77)
const SEQUENCES: readonly (readonly [string, readonly Uint8Array[]])[] = [
  ['nothing', []],
  ['an empty piece', [Buffer.alloc(0)]],
  ['a few bytes', [Buffer.from('abc')]],
  ['one byte less than a native call', [random.subarray(0, MIB - 1)]],
  ['exactly one native call', [random.subarray(0, MIB)]],
  ['one byte more', [random.subarray(0, MIB), random.subarray(MIB, MIB + 1)]],
  ['pieces of 64 KiB', cut(random, 65_536)],
  ['pieces of odd lengths', cut(random, 12_345)],
  ['one large piece', [random]],
  ['large pieces', cut(random, 3 * MIB)],
]

test('this Node exports OpenSSL', async () => {
  const handle = native.digestOpen()
  expect(handle).toEqual(expect.any(Number))
  await native.release(handle!)
})

describe.each([
  ['with the OpenSSL of Node', () => native],
  ['without OpenSSL', () => withoutOpenSsl],
])('Sha256 %s', (_, port) => {
  test.each(SEQUENCES)('has the digest of node:crypto for %s', async (_, pieces) => {
    expect(await digestOf(port(), pieces)).toBe(expected(pieces))
  })

  test('has the right digests of several sequences at a time', async () => {
    const sequences = SEQUENCES.map(([, pieces]) => pieces)
    expect(await Promise.all(sequences.map(pieces => digestOf(port(), pieces)))).toEqual(sequences.map(expected))
  })
})

test('sha256 of the port is that of node:crypto, also of nothing', async () => {
  for (const bytes of [Buffer.alloc(0), Buffer.from('abc'), random]) {
    expect(Buffer.from((await native.sha256(bytes))!).toString('hex')).toBe(expected([bytes]))
  }
})

test('a sequence shorter than a native call opens no native digest', async () => {
  const port = new WatchedPort()
  expect(await digestOf(port, cut(random.subarray(0, MIB - 1), 65_536))).toBe(expected([random.subarray(0, MIB - 1)]))
  expect(port.calls).toBe(0)
})

test('pieces are computed in few calls, and whoever waits for each promise has at most 5 MiB that wait', async () => {
  const port = new WatchedPort()
  const digest = new Sha256(port)
  let added = 0
  for (const piece of cut(random, 65_536)) {
    await digest.add(piece)
    added += piece.length
    expect(added - port.bytes).toBeLessThanOrEqual(5 * MIB)
  }
  expect(await digest.hex()).toBe(expected([random]))
  expect(port.calls).toBeLessThanOrEqual(10)
  await digest.close()
  expect(port.open.size).toBe(0)
})

test('a failure of OpenSSL rejects the digest, and the handle is released', async () => {
  const port = new WatchedPort()
  port.failure = new Error('OpenSSL has failed')
  const digest = new Sha256(port)
  void digest.add(random)?.catch(() => {})
  await expect(digest.hex()).rejects.toBe(port.failure)
  await expect(digest.add(random)).rejects.toBe(port.failure)
  await digest.close()
  expect(port.open.size).toBe(0)
})

test('close ends a digest in the middle, and what is added later opens nothing', async () => {
  const port = new WatchedPort()
  const digest = new Sha256(port)
  void digest.add(random)
  await digest.close()
  const { calls } = port
  expect(port.open.size).toBe(0)
  expect(digest.add(random)).toBeUndefined()
  await digest.close()
  expect(port.calls).toBe(calls)
})
