// What an import passes on to the unpacking of each layer: into folders of this machine, without a pool.
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { importImage } from '../../../lib/store/images/import.js'
import type { Layers } from '../../../lib/store/images/import-layers.js'
import type { ImportOptions } from '../../../lib/store/images/import-options.js'
import type { Lease } from '../../../lib/store/engine/leases.js'
import { DmThinError } from '../../../lib/entry/index.js'
import { archive, inPieces, useFolders } from '../../helpers/tree/archives.js'
import { runForBytes } from '../../helpers/process/spawned.js'
import { rejection } from '../../helpers/errors/thrown.js'

const folder = useFolders()
const NAMES = 3000

const unpacked: Layers = {
  keepLayer: key => Promise.reject(new DmThinError('DM_LAYER_NOT_FOUND', key)),
  addLayer: async (_name, _parent, fill) => {
    await fill(folder('root'))
    return { release: async () => {} } as Lease
  },
}

/** An image in a directory. `more`: of its manifest. */
function layout(layers: Buffer | readonly Buffer[], more: object = {}): string {
  const directory = folder('layout')
  mkdirSync(path.join(directory, 'blobs/sha256'), { recursive: true })
  const blob = (content: Buffer | string) => {
    const hash = createHash('sha256').update(content).digest('hex')
    writeFileSync(path.join(directory, 'blobs/sha256', hash), content)
    return { digest: `sha256:${hash}`, size: content.length }
  }
  const packed = [layers].flat().map(blob)
  const config = blob(JSON.stringify({ rootfs: { type: 'layers', diff_ids: packed.map(({ digest }) => digest) } }))
  const manifest = blob(JSON.stringify({ schemaVersion: 2, config, layers: packed, ...more }))
  writeFileSync(path.join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
  return directory
}

/** The same as an archive. */
const packedLayout = (layers: Buffer | readonly Buffer[]): Buffer =>
  runForBytes('tar', ['-C', layout(layers), '-c', '.'])

const isOpen = (file: string) => (fd: string) => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === file
  } catch {
    return false // it was that of the list
  }
}

const small = archive({ name: 'a', content: 'of a' })

const imported = (options: ImportOptions) => {
  const members = Array.from({ length: NAMES }, (_, i) => ({ name: `n${i}` }))
  return importImage(unpacked, folder('staging'), layout(archive(...members)), options)
}

test('maxMemoryBytes limits the memory of unpacking each layer', async () => {
  expect(await rejection(() => imported({ maxMemoryBytes: 12_000 }))).toMatchObject({
    code: 'DM_LAYER_LIMIT',
    operation: 'memory',
  })
  expect((await imported({ maxMemoryBytes: 1_000_000 })).layers).toHaveLength(1)
  expect((await imported({})).layers).toHaveLength(1)
})

test('maxEntries limits the entries of each layer, and a negative limit is rejected', async () => {
  expect(await rejection(() => imported({ maxEntries: 100 }))).toMatchObject({ code: 'DM_LAYER_LIMIT' })
  expect(await rejection(() => imported({ maxMemoryBytes: -1 }))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
})

describe('importImage of an archive', () => {
  test.each([1, 7, 65_536])('imports gzip data in pieces of %i bytes', async size => {
    const plain = await importImage(unpacked, folder('staging'), inPieces(packedLayout(small)), {})
    const compressed = await importImage(unpacked, folder('staging'), inPieces(gzipSync(packedLayout(small)), size), {})
    expect(compressed).toEqual(plain)
  })

  test('imports a file compressed by gzip', async () => {
    const file = path.join(folder('files'), 'image.tar.gz')
    writeFileSync(file, gzipSync(packedLayout(small)))
    expect((await importImage(unpacked, folder('staging'), file, {})).layers).toHaveLength(1)
  })

  test('imports nothing and closes the file if it is aborted at any read of a file in place', async () => {
    const file = path.join(folder('files'), 'image.tar')
    const content = () => randomBytes(3 * 2 ** 20)
    writeFileSync(file, packedLayout(['a', 'b', 'c'].map(name => archive({ name, content: content() }))))
    const some = await open(file)
    const handles = Object.getPrototypeOf(some) as { read: (...args: unknown[]) => unknown }
    await some.close()
    const { read } = handles
    const lost: unknown[] = []
    const lose = (fault: unknown) => void lost.push(fault)
    process.on('unhandledRejection', lose)
    try {
      let isDone = false
      let aborted = 0
      for (let nth = 1; !isDone; nth++) {
        const controller = new AbortController()
        let count = 0
        handles.read = function (...args) {
          if (++count === nth) controller.abort()
          return read.apply(this, args)
        }
        const outcome = importImage(unpacked, folder('staging'), file, { signal: controller.signal })
        isDone = await outcome.then(
          () => !controller.signal.aborted,
          (fault: unknown) => (fault as DmThinError).code !== 'ABORT_ERR',
        )
        aborted += Number(controller.signal.aborted)
        expect(readdirSync('/proc/self/fd').filter(isOpen(file))).toEqual([])
      }
      expect(aborted).toBeGreaterThan(15)
      expect((await importImage(unpacked, folder('staging'), file, {})).layers).toHaveLength(3)
    } finally {
      handles.read = read
      process.off('unhandledRejection', lose)
    }
    expect(lost).toEqual([])
  })

  test('rejects a truncated archive with DM_LAYER_TAR, and another compression with DM_UNSUPPORTED', async () => {
    const bytes = gzipSync(packedLayout(small))
    const refused = (stream: Buffer) => rejection(() => importImage(unpacked, folder('staging'), inPieces(stream), {}))
    expect(await refused(bytes.subarray(0, -20))).toMatchObject({ code: 'DM_LAYER_TAR' })
    expect(await refused(Buffer.from('BZh91AY&SY'))).toMatchObject({ code: 'DM_UNSUPPORTED' })
  })

  test('rejects an archive that decompresses without end with DM_LAYER_LIMIT', async () => {
    const bytes = gzipSync(Buffer.concat([packedLayout(small).subarray(0, -1024), Buffer.alloc(80 * 2 ** 20)]))
    const fault = await rejection(() =>
      importImage(unpacked, folder('staging'), inPieces(bytes), { maxBytes: 100_000, maxEntries: 10 }),
    )
    expect(fault).toMatchObject({ code: 'DM_LAYER_LIMIT' })
  })
})

describe('importImage of a document that is an index and a manifest at once', () => {
  test.each<[string, object]>([
    ['an index with layers', { layers: [] }],
    ['an index with a configuration', { config: {} }],
  ])('rejects %s', async (_, more) => {
    const directory = layout(small)
    const file = path.join(directory, 'index.json')
    writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, 'utf8')) as object), ...more }))
    expect(await rejection(() => importImage(unpacked, folder('staging'), directory, {}))).toMatchObject({
      code: 'DM_IMAGE',
    })
  })

  test.each<[string, unknown]>([
    ['a list', []],
    ['a string', 'x'],
    ['null', null],
  ])('rejects a manifest with manifests that are %s', async (_, manifests) => {
    const directory = layout(small, { manifests })
    expect(await rejection(() => importImage(unpacked, folder('staging'), directory, {}))).toMatchObject({
      code: 'DM_IMAGE',
      message: expect.stringContaining('at once') as unknown,
    })
  })
})
