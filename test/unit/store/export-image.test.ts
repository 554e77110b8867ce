// The digests of an exported image, whose layers are those of this test: compared with sha256sum, and given up with the export.
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { Handle } from '../../../lib/kernel/port/handle.js'
import { nativePort } from '../../../lib/kernel/native-port.js'
import { Sha256, type DigestPort } from '../../../lib/kernel/sha256.js'
import { MiB } from '../../../lib/entry/index.js'
import { digested } from '../../../lib/store/common/digest.js'
import type { LayerInfo } from '../../../lib/store/common/layer-types.js'
import { exportImage, type LayerSource } from '../../../lib/store/images/export.js'
import { run } from '../../helpers/process/spawned.js'
import { inPieces, sha256, useFolders } from '../../helpers/tree/archives.js'

const folder = useFolders()
const native = nativePort()

/** A chain of layers, each with these bytes as its tar. */
function chain(tars: readonly (() => AsyncIterable<Uint8Array>)[]): LayerSource & { readonly staging: string } {
  const staging = path.join(folder('store'), 'staging')
  return {
    staging,
    stat: async key => ({ key, parent: key === '0' ? '' : String(Number(key) - 1), kind: 'committed' }) as LayerInfo,
    diffLayer: key => Readable.from(tars[Number(key)]!()),
  }
}

interface Manifest {
  readonly config: { readonly digest: string }
  readonly layers: readonly { readonly digest: string; readonly size: number }[]
}

/** Unpacks an exported archive, and reads its documents. */
async function unpacked(archive: Readable) {
  const into = folder('unpacked')
  writeFileSync(path.join(into, 'image.tar'), Buffer.concat(await archive.toArray()))
  run('tar', ['-C', into, '-xf', path.join(into, 'image.tar')])
  const json = (name: string): unknown => JSON.parse(readFileSync(path.join(into, name), 'utf8'))
  const blob = (digest: string) => path.join(into, 'blobs/sha256', digest.slice('sha256:'.length))
  const { manifests } = json('index.json') as { manifests: [{ digest: string }] }
  const manifest = json(path.relative(into, blob(manifests[0].digest))) as Manifest
  const config = json(path.relative(into, blob(manifest.config.digest))) as { rootfs: { diff_ids: string[] } }
  return { blob, layers: manifest.layers, diffIds: config.rootfs.diff_ids }
}

const sumOf = (file: string): string => `sha256:${run('sha256sum', [file]).split(' ')[0]!}`

/** The error of a stream, which is read until then. */
const failure = (stream: Readable): Promise<unknown> =>
  stream.toArray().then(
    () => undefined,
    (fault: unknown) => fault,
  )

/** Counts the native digests that are open. */
function watchDigests(): { readonly opened: () => number; readonly open: Set<Handle> } {
  const open = new Set<Handle>()
  let opened = 0
  const digestOpen = native.digestOpen.bind(native)
  const release = native.release.bind(native)
  jest.spyOn(native, 'digestOpen').mockImplementation(() => {
    const handle = digestOpen()
    opened += 1
    if (handle !== null) open.add(handle)
    return handle
  })
  jest.spyOn(native, 'release').mockImplementation(handle => {
    open.delete(handle)
    return release(handle)
  })
  return { opened: () => opened, open }
}

afterEach(() => jest.restoreAllMocks())

const PIECE = randomBytes(65_536)
const LARGE = randomBytes(9 * MiB + 77)

test.each(['none', 'gzip'] as const)(
  'an exported image with compression %s has the digests of sha256sum',
  async compression => {
    const tars = [LARGE, Buffer.from('small'), Buffer.alloc(3 * MiB), LARGE, Buffer.alloc(0)]
    const digests = watchDigests()
    const source = chain(tars.map(tar => () => inPieces(tar)))
    const { blob, layers, diffIds } = await unpacked(
      exportImage(source, source.staging, String(tars.length - 1), { compression }),
    )
    expect(diffIds).toEqual(tars.map(sha256))
    expect(layers).toHaveLength(tars.length)
    for (const [at, { digest, size }] of layers.entries()) {
      const bytes = readFileSync(blob(digest))
      expect([sumOf(blob(digest)), bytes.length]).toEqual([digest, size])
      expect(bytes.equals(compression === 'gzip' ? gzipSync(tars[at]!) : tars[at]!)).toBe(true)
    }
    // Those of less than 1 MiB are computed on the JavaScript thread; without compression, one digest is both.
    expect(digests.opened()).toBe(compression === 'gzip' ? 5 : 3)
    expect(digests.open.size).toBe(0)
    expect(existsSync(source.staging)).toBe(false)
  },
)

describe('an export that is given up', () => {
  /** Delivers bytes without end, and calls `then` before one of the pieces. */
  async function* endless(at: number, then: () => void): AsyncGenerator<Uint8Array> {
    for (let piece = 0; ; piece += 1) {
      if (piece === at) then()
      yield await nextTurn(PIECE)
    }
  }
  const settled = async (digests: { readonly open: Set<Handle> }, source: { readonly staging: string }) => {
    while (digests.open.size > 0 || existsSync(source.staging)) await new Promise(resolve => setTimeout(resolve, 5))
  }

  describe.each(['none', 'gzip'] as const)('an export with compression %s', compression => {
    test('rejects with ABORT_ERR if its signal aborts, and leaves neither digests nor files', async () => {
      const abort = new AbortController()
      const digests = watchDigests()
      const source = chain([() => endless(100, () => abort.abort())])
      const { signal } = abort
      const fault = await failure(exportImage(source, source.staging, '0', { compression, signal }))
      expect(fault).toMatchObject({ code: 'ABORT_ERR' })
      expect(digests.opened()).toBeGreaterThan(0)
      await settled(digests, source)
    })

    test('leaves neither digests nor files if its stream is destroyed', async () => {
      const digests = watchDigests()
      const source = chain([() => endless(100, () => archive.destroy())])
      const archive: Readable = exportImage(source, source.staging, '0', { compression })
      await new Promise(resolve => archive.once('close', resolve))
      expect(digests.opened()).toBeGreaterThan(0)
      await settled(digests, source)
    })

    test('rejects with the error of its source, and leaves neither digests nor files', async () => {
      const digests = watchDigests()
      const fail = () => {
        throw new Error('the source failed')
      }
      const source = chain([() => endless(100, fail)])
      const fault = await failure(exportImage(source, source.staging, '0', { compression }))
      expect(fault).toMatchObject({ message: 'the source failed' })
      expect(digests.opened()).toBeGreaterThan(0)
      await settled(digests, source)
    })
  })

  test('rejects with the error of a digest, and leaves neither digests nor files', async () => {
    const digests = watchDigests()
    jest.spyOn(native, 'digestUpdate').mockImplementation(() => Promise.reject(new Error('OpenSSL failed')))
    const source = chain([() => endless(-1, () => {})])
    const fault = await failure(exportImage(source, source.staging, '0', { compression: 'none' }))
    expect(fault).toMatchObject({ message: 'OpenSSL failed' })
    await settled(digests, source)
  })
})

test('a digest that is computed more slowly than bytes arrive holds back their source', async () => {
  let [given, go] = [0, () => {}]
  const gate = new Promise<void>(resolve => (go = resolve))
  const slow: DigestPort = {
    digestOpen: () => native.digestOpen(),
    digestUpdate: async (handle, chunks) => {
      await gate
      await native.digestUpdate(handle, chunks)
    },
    digestFinish: handle => native.digestFinish(handle),
    sha256: memory => native.sha256(memory),
    release: handle => native.release(handle),
  }
  const bytes = Buffer.alloc(16 * MiB, 7)
  async function* source() {
    for await (const piece of inPieces(bytes)) {
      given += piece.length
      yield piece
    }
  }
  let found: [digest: string, size: number] | undefined
  const reading = (async () => {
    let size = 0
    for await (const { length } of digested(source(), (...result) => (found = result), new Sha256(slow))) size += length
    return size
  })()
  while (given < 5 * MiB) await nextTurn()
  for (let turn = 0; turn < 100; turn += 1) await nextTurn()
  expect(given).toBe(5 * MiB) // the call of 1 MiB, and the 4 MiB that may wait
  go()
  expect(await reading).toBe(bytes.length)
  expect(found).toEqual([sha256(bytes), bytes.length])
})
