// What an import passes on to the unpacking of each layer: into folders of this machine, without a pool.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { importImage, type ImportOptions, type Layers } from '../../../lib/store/images/import.js'
import type { Lease } from '../../../lib/store/engine/leases.js'
import { DmThinError } from '../../../lib/entry/index.js'
import { archive, inPieces, useFolders } from '../../helpers/tree/archives.js'
import { runForBytes } from '../../helpers/process/spawned.js'
import { rejection } from '../../helpers/errors/thrown.js'

const folder = useFolders()
const NAMES = 3000

const unpacked: Layers = {
  stagingFolder: () => folder('staging'),
  keepLayer: key => Promise.reject(new DmThinError('DM_LAYER_NOT_FOUND', key)),
  addLayer: async (_name, _parent, fill) => {
    await fill(folder('root'))
    return { release: async () => {} } as Lease
  },
}

/** An image of one layer, in a directory. `more`: of its manifest. */
function layout(layer: Buffer, more: object = {}): string {
  const directory = folder('layout')
  mkdirSync(path.join(directory, 'blobs/sha256'), { recursive: true })
  const blob = (content: Buffer | string) => {
    const hash = createHash('sha256').update(content).digest('hex')
    writeFileSync(path.join(directory, 'blobs/sha256', hash), content)
    return { digest: `sha256:${hash}`, size: content.length }
  }
  const packed = blob(layer)
  const config = blob(JSON.stringify({ rootfs: { type: 'layers', diff_ids: [packed.digest] } }))
  const manifest = blob(JSON.stringify({ schemaVersion: 2, config, layers: [packed], ...more }))
  writeFileSync(path.join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
  return directory
}

/** The same as an archive. */
const packedLayout = (layer: Buffer): Buffer => runForBytes('tar', ['-C', layout(layer), '-c', '.'])

const small = archive({ name: 'a', content: 'of a' })

const imported = (options: ImportOptions) => {
  const members = Array.from({ length: NAMES }, (_, i) => ({ name: `n${i}` }))
  return importImage(unpacked, layout(archive(...members)), options)
}

test('maxMemoryBytes bounds what unpacking remembers of each layer', async () => {
  expect(await rejection(() => imported({ maxMemoryBytes: 12_000 }))).toMatchObject({
    code: 'DM_LAYER_LIMIT',
    operation: 'memory',
  })
  expect((await imported({ maxMemoryBytes: 1_000_000 })).layers).toHaveLength(1)
  expect((await imported({})).layers).toHaveLength(1)
})

test('maxEntries limits each layer, and a negative limit is refused', async () => {
  expect(await rejection(() => imported({ maxEntries: 100 }))).toMatchObject({ code: 'DM_LAYER_LIMIT' })
  expect(await rejection(() => imported({ maxMemoryBytes: -1 }))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
})

describe('an archive of an image', () => {
  test.each([1, 7, 65_536])('compressed by gzip, in pieces of %i bytes, is imported', async size => {
    const plain = await importImage(unpacked, inPieces(packedLayout(small)), {})
    const compressed = await importImage(unpacked, inPieces(gzipSync(packedLayout(small)), size), {})
    expect(compressed).toEqual(plain)
  })

  test('compressed by gzip, in a file, is imported', async () => {
    const file = path.join(folder('files'), 'image.tar.gz')
    writeFileSync(file, gzipSync(packedLayout(small)))
    expect((await importImage(unpacked, file, {})).layers).toHaveLength(1)
  })

  test('that is cut off, or of another compression, is refused', async () => {
    const bytes = gzipSync(packedLayout(small))
    const refused = (stream: Buffer) => rejection(() => importImage(unpacked, inPieces(stream), {}))
    expect(await refused(bytes.subarray(0, -20))).toMatchObject({ code: 'DM_LAYER_TAR' })
    expect(await refused(Buffer.from('BZh91AY&SY'))).toMatchObject({ code: 'DM_UNSUPPORTED' })
  })

  test('that decompresses endlessly is refused', async () => {
    const bytes = gzipSync(Buffer.concat([packedLayout(small).subarray(0, -1024), Buffer.alloc(80 * 2 ** 20)]))
    const fault = await rejection(() => importImage(unpacked, inPieces(bytes), { maxBytes: 100_000, maxEntries: 10 }))
    expect(fault).toMatchObject({ code: 'DM_LAYER_LIMIT' })
  })
})

describe('a document that is an index and a manifest at once is refused', () => {
  test.each<[string, object]>([
    ['the index, with layers', { layers: [] }],
    ['the index, with a configuration', { config: {} }],
  ])('%s', async (_, more) => {
    const directory = layout(small)
    const file = path.join(directory, 'index.json')
    writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, 'utf8')) as object), ...more }))
    expect(await rejection(() => importImage(unpacked, directory, {}))).toMatchObject({ code: 'DM_IMAGE' })
  })

  test.each<[string, unknown]>([
    ['a list', []],
    ['something else', 'x'],
    ['null', null],
  ])('a manifest, with manifests that are %s', async (_, manifests) => {
    const directory = layout(small, { manifests })
    expect(await rejection(() => importImage(unpacked, directory, {}))).toMatchObject({
      code: 'DM_IMAGE',
      message: expect.stringContaining('at once') as unknown,
    })
  })
})
