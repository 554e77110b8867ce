// What an import passes on to the unpacking of each layer: into folders of this machine, without a pool.
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { importImage, type ImportOptions, type Layers } from '../../lib/store/images/import.js'
import type { Lease } from '../../lib/store/leases.js'
import { DmThinError } from '../../lib/index.js'
import { archive, useFolders } from '../helpers/archives.js'
import { rejection } from '../helpers/thrown.js'

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

/** An image of one layer, in a directory. */
function layout(layer: Buffer): string {
  const directory = folder('layout')
  mkdirSync(path.join(directory, 'blobs/sha256'), { recursive: true })
  const blob = (content: Buffer | string) => {
    const hash = createHash('sha256').update(content).digest('hex')
    writeFileSync(path.join(directory, 'blobs/sha256', hash), content)
    return { digest: `sha256:${hash}`, size: content.length }
  }
  const packed = blob(layer)
  const config = blob(JSON.stringify({ rootfs: { type: 'layers', diff_ids: [packed.digest] } }))
  const manifest = blob(JSON.stringify({ schemaVersion: 2, config, layers: [packed] }))
  writeFileSync(path.join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
  return directory
}

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

test('maxEntries bounds each layer too, and a negative limit is refused', async () => {
  expect(await rejection(() => imported({ maxEntries: 100 }))).toMatchObject({ code: 'DM_LAYER_LIMIT' })
  expect(await rejection(() => imported({ maxMemoryBytes: -1 }))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
})
