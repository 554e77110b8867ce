// Streams that are too much, that lie about what they are, or that do not end.
import { readdirSync } from 'node:fs'
import * as zlib from 'node:zlib'
import { memoryKernel } from '../../../../lib/entry/testing'
import { applyTar, type ApplyOptions } from '../../../../lib/store/tar-read/apply-tar'
import {
  archive,
  block,
  END,
  inPieces,
  members,
  paxRecord,
  sha256,
  useFolders,
  type Member,
} from '../../../helpers/tree/archives'
import { rejection } from '../../../helpers/errors/thrown'

const folder = useFolders()
const apply = (bytes: Buffer, options: ApplyOptions = {}) => applyTar(folder('root'), inPieces(bytes), options)
const code = async (bytes: Buffer, options: ApplyOptions = {}) => (await rejection(() => apply(bytes, options))).code

const MiB = 2 ** 20
/** An extended header with one record of about so many bytes. */
const comment = (bytes: number) => paxRecord('comment', Buffer.alloc(bytes - 64, 'c'))

const FILES: Member[] = [
  { name: 'a', content: 'x'.repeat(1000) },
  { name: 'b', content: 'y'.repeat(500) },
]

describe('the limits of applyTar', () => {
  test('maxBytes, maxFileBytes and maxEntries are inclusive', async () => {
    const bytes = archive(...FILES)
    expect(await apply(bytes, { maxBytes: 1500, maxFileBytes: 1000, maxEntries: 2 })).toMatchObject({ bytes: 1500 })
    expect(await code(bytes, { maxBytes: 1499 })).toBe('DM_LAYER_LIMIT')
    expect(await code(bytes, { maxFileBytes: 999 })).toBe('DM_LAYER_LIMIT')
    expect(await code(bytes, { maxEntries: 1 })).toBe('DM_LAYER_LIMIT')
  })

  test('maxEntries counts implied parent folders, and maxBytes counts holes', async () => {
    expect(await code(archive({ name: 'a/b/c/d' }), { maxEntries: 3 })).toBe('DM_LAYER_LIMIT')
    expect(await apply(archive({ name: 'a/b/c/d' }), { maxEntries: 4 })).toMatchObject({ entries: 1 })
    const holes: Member = {
      name: 'h',
      pax: [
        ['GNU.sparse.size', '10000'],
        ['GNU.sparse.map', '0,0'],
      ],
    }
    expect(await code(archive(holes), { maxFileBytes: 9999 })).toBe('DM_LAYER_LIMIT')
  })

  test('a header with a size beyond the archive or beyond maxBytes is rejected', async () => {
    const lie = Buffer.concat([block({ name: 'huge', size: 0o77777777777 }), END])
    expect(await code(lie)).toBe('DM_LAYER_TAR')
    expect(await code(lie, { maxBytes: 2 ** 30 })).toBe('DM_LAYER_LIMIT')
  })

  test('an endless series of extended headers rejects with DM_LAYER_LIMIT', async () => {
    async function* endless() {
      const header = members({ name: 'x', type: 'x', content: '11 mtime=1\n' })
      for (;;) yield await Promise.resolve(header)
    }
    expect(await rejection(() => applyTar(folder('root'), endless()))).toMatchObject({ code: 'DM_LAYER_LIMIT' })
  })

  test('oversized attributes and an oversized header reject with DM_LAYER_LIMIT', async () => {
    const pax = Array.from({ length: 20 }, (_, i) => [`SCHILY.xattr.user.${i}`, Buffer.alloc(40_000)] as const)
    expect(await code(archive({ name: 'x', pax }))).toBe('DM_LAYER_LIMIT')
    const huge = members({ name: 'x', pax: [['comment', Buffer.alloc(5_000_000)]] })
    expect(await code(huge)).toBe('DM_LAYER_LIMIT')
  })

  test.each([
    ['one extended header', [{ name: 'h', type: 'x', size: MiB }]],
    ['one global header', [{ name: 'h', type: 'g', size: MiB }]],
    ['one long name of GNU tar', [{ name: 'h', type: 'L', size: MiB }]],
    [
      'two headers that are too large together',
      [
        { name: 'h', type: 'x', content: comment(MiB / 2) },
        { name: 'h', type: 'x', size: MiB / 2 },
      ],
    ],
  ] as [string, Member[]][])('headers of more than 1 MiB are rejected before they are read: %s', async (_, headers) => {
    let given = 0
    async function* counted() {
      for (const bytes of [
        ...headers.map(each => members(each)),
        ...Array<Buffer>(64).fill(Buffer.alloc(MiB / 16, ' ')),
      ]) {
        given += bytes.length
        yield await Promise.resolve(bytes)
      }
    }
    expect(await rejection(() => applyTar(folder('root'), counted()))).toMatchObject({ code: 'DM_LAYER_LIMIT' })
    expect(given).toBeLessThan(MiB)
  })

  test('an extended header of nearly 1 MiB full of records is accepted', async () => {
    const content = Buffer.concat([Buffer.from('6 a=b\n'.repeat(170_000)), Buffer.from('10 path=y\n')])
    const bytes = Buffer.concat([members({ name: 'h', type: 'x', content }), archive({ name: 'x' })])
    expect(await apply(bytes)).toMatchObject({ entries: 1 })
    expect(readdirSync(folder('root'))).toEqual(['y'])
  })

  test('an endless stream after the end of the archive rejects with DM_LAYER_LIMIT', async () => {
    async function* endless() {
      yield await Promise.resolve(archive({ name: 'a' }))
      for (;;) yield Buffer.alloc(2 ** 20)
    }
    expect(await rejection(() => applyTar(folder('root'), endless()))).toMatchObject({ code: 'DM_LAYER_LIMIT' })
  })
})

describe('the compression of a layer', () => {
  const zeros = archive({ name: 'zeros', content: Buffer.alloc(4_000_000) })
  const packed = zlib.gzipSync(zeros)

  test('a decompression bomb is rejected by maxRatio', async () => {
    expect(await code(packed, { maxRatioFromBytes: 1_000_000 })).toBe('DM_LAYER_LIMIT')
    expect(await apply(packed, { maxRatioFromBytes: 5_000_000 })).toMatchObject({ bytes: 4_000_000 })
    expect(await apply(packed, { maxRatioFromBytes: 0, maxRatio: 2000 })).toMatchObject({ bytes: 4_000_000 })
  })

  test('an endless series of empty gzip members rejects with DM_LAYER_LIMIT', async () => {
    async function* endless() {
      yield await Promise.resolve(zlib.gzipSync(archive({ name: 'a' })))
      const empty = Buffer.concat(Array.from({ length: 5000 }, () => zlib.gzipSync('')))
      for (;;) yield empty
    }
    const limits = { maxBytes: 1000, maxEntries: 10 }
    const error = await rejection(() => applyTar(folder('root'), endless(), limits))
    expect(error.code).toBe('DM_LAYER_LIMIT')
  })

  test('gzip data that is damaged, cut off or followed by other bytes rejects with DM_LAYER_TAR', async () => {
    const damaged = Buffer.from(packed)
    damaged[20]! ^= 0xff
    expect(await code(damaged)).toBe('DM_LAYER_TAR')
    for (const at of [3, 10, 100, packed.length - 1]) expect(await code(packed.subarray(0, at))).toBe('DM_LAYER_TAR')
    expect(await code(Buffer.concat([packed, Buffer.from('more')]))).toBe('DM_LAYER_TAR')
    expect(await code(Buffer.concat([packed, Buffer.alloc(200_000, 'm')]))).toBe('DM_LAYER_TAR')
  })

  test('bzip2 and xz reject with DM_UNSUPPORTED', async () => {
    expect(await code(Buffer.from('BZh91AY&SY'))).toBe('DM_UNSUPPORTED')
    expect(await code(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4]))).toBe('DM_UNSUPPORTED')
  })

  test('zstd is unpacked if Node supports it; otherwise the error names the version that does', async () => {
    const compress = (zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer }).zstdCompressSync
    const plain = archive(...FILES)
    if (compress) {
      const bytes = compress(plain)
      expect(await apply(bytes)).toMatchObject({ digest: sha256(bytes), diffId: sha256(plain), entries: 2 })
      expect(await code(bytes.subarray(0, bytes.length - 3))).toBe('DM_LAYER_TAR')
      const frames = Buffer.concat([compress(plain.subarray(0, 800)), compress(plain.subarray(800))])
      const outcome = apply(frames).then(
        result => result.diffId,
        (fault: { code: string }) => fault.code,
      )
      // Where Node reads the first frame alone, the layer is refused: never is half of it taken for the whole.
      expect([sha256(plain), 'DM_UNSUPPORTED']).toContain(await outcome)
    } else {
      const error = await rejection(() => apply(Buffer.from('28b52ffd0000', 'hex')))
      expect(error).toMatchObject({ code: 'DM_UNSUPPORTED' })
      expect(error.message).toContain('22.15')
    }
  })
})

describe('the digests of applyTar', () => {
  const plain = archive(...FILES)
  const packed = zlib.gzipSync(plain)

  test('a matching digest is accepted, and another digest rejects with DM_LAYER_DIGEST', async () => {
    expect(await apply(packed, { digest: sha256(packed), diffId: sha256(plain) })).toMatchObject({ entries: 2 })
    expect(await code(packed, { digest: sha256(plain) })).toBe('DM_LAYER_DIGEST')
    expect(await code(packed, { diffId: sha256(packed) })).toBe('DM_LAYER_DIGEST')
    const error = await rejection(() => apply(plain, { digest: sha256(packed) }))
    expect(error).toMatchObject({ code: 'DM_LAYER_DIGEST', detail: sha256(plain) })
  })

  test('an archive without its end is accepted if its digest matches', async () => {
    const open = members(...FILES)
    expect(await code(open)).toBe('DM_LAYER_TAR')
    expect(await apply(open, { diffId: sha256(open) })).toMatchObject({ entries: 2 })
    expect(await code(Buffer.alloc(0))).toBe('DM_LAYER_TAR')
  })
})

describe('a stream', () => {
  async function* hanging(first: Buffer) {
    yield await Promise.resolve(first)
    await new Promise(() => {})
  }

  test.each([
    ['plain', members(...FILES)],
    ['compressed', zlib.gzipSync(archive({ name: 'a', content: 'x'.repeat(3_000_000) })).subarray(0, 1000)],
  ])('is aborted by the signal if it stalls: %s', async (_, first) => {
    const controller = new AbortController()
    const pending = rejection(() => applyTar(folder('root'), hanging(first), { signal: controller.signal }))
    setImmediate(() => controller.abort(new Error('enough')))
    expect(await pending).toMatchObject({ code: 'ABORT_ERR', cause: new Error('enough') })
  })

  test('is not read if the signal is already aborted', async () => {
    expect(await code(archive(), { signal: AbortSignal.abort() })).toBe('ABORT_ERR')
    expect(readdirSync(folder('root'))).toEqual([])
  })

  test.each([(bytes: Buffer) => bytes, zlib.gzipSync])(
    'is closed if it fails, and the call rejects with its error',
    async pack => {
      const bytes = pack(members(...FILES))
      let left = false
      async function* failing() {
        try {
          yield await Promise.resolve(bytes.subarray(0, 30))
          throw new Error('the network is down')
        } finally {
          left = true
        }
      }
      await expect(applyTar(folder('root'), failing())).rejects.toThrow('the network is down')
      expect(left).toBe(true)
    },
  )

  test('is released if the layer is rejected', async () => {
    let left = false
    async function* source() {
      try {
        yield await Promise.resolve(archive({ name: '../x' }))
        for (;;) yield Buffer.alloc(1000)
      } finally {
        left = true
      }
    }
    expect(await rejection(() => applyTar(folder('root'), source()))).toMatchObject({ code: 'DM_LAYER_TAR' })
    await new Promise(setImmediate)
    expect(left).toBe(true)
  })

  test('is rejected if it yields other values than bytes or is not a stream', async () => {
    async function* words() {
      yield await Promise.resolve('text' as unknown as Uint8Array)
    }
    expect(await rejection(() => applyTar(folder('root'), words()))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
    const none = rejection(() => applyTar(folder('root'), Buffer.from('x') as never))
    expect(await none).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
  })
})

describe('the options of applyTar', () => {
  test.each([
    { tpyo: 1 },
    { maxBytes: -1 },
    { maxEntries: 1.5 },
    { maxRatio: 0 },
    { devices: 'some' },
    { setuid: true },
    { digest: 'sha512:00' },
    { diffId: 7 },
    { whiteouts: 1 },
    { sync: 'no' },
    { onProgress: 'often' },
    { signal: {} },
  ])('%j is rejected with DM_INVALID_ARGUMENT', async options => {
    expect(await code(archive(), options as never)).toBe('DM_INVALID_ARGUMENT')
  })

  test('a memory kernel is rejected with DM_UNSUPPORTED', async () => {
    expect(await code(archive(), { kernel: memoryKernel() })).toBe('DM_UNSUPPORTED')
  })
})

test('the error for a missing tar-stream names the package to install', async () => {
  await jest.isolateModulesAsync(async () => {
    jest.doMock('tar-stream', () => {
      throw Object.assign(new Error("Cannot find module 'tar-stream'"), { code: 'MODULE_NOT_FOUND' })
    })
    const { loadTarStream } = await import('../../../../lib/store/common/tar-stream.js')
    const fault: unknown = await loadTarStream().catch((error: unknown) => error)
    expect(fault).toMatchObject({ code: 'DM_DEPENDENCY' })
    expect((fault as Error).message).toContain('npm install tar-stream')
  })
  jest.dontMock('tar-stream')
})
