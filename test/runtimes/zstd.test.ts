// A layer that is compressed with zstd, on each supported Node: it is unpacked if Node has zstd, and otherwise rejected with
// an error that names the versions that have it. (test/runtimes/zstd.cjs is what they run.)
import { createHash } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { useScratch } from '../helpers/kernel/scratch.js'
import { RUNTIMES, runtimePath } from '../helpers/process/runtimes.js'
import { run } from '../helpers/process/spawned.js'
import { endStore, keysOf, storeFiles } from '../helpers/store/stores.js'
import { LayerStore } from '../../lib/entry/store.js'

const scratch = useScratch()
const script = path.join(__dirname, 'zstd.cjs')
const TEXT = 'zstd'.repeat(1000)
const NODES = RUNTIMES.map(name => ({ name, binary: runtimePath(name) }))
/** better-sqlite3 is built for the Node that runs the tests; Node 20 has no SQLite of its own. */
const WITH_SQLITE = [{ name: 'this Node', binary: process.execPath }, ...NODES.slice(1)]

interface Outcome {
  readonly hasZstd: boolean
  readonly text?: string
  readonly code?: string
  readonly message?: string
}

function runZstd(binary: string, ...words: readonly string[]): Outcome {
  const options = { encoding: 'utf8', env: { ...process.env, NODE_NO_WARNINGS: '1' } } as const
  return JSON.parse(execFileSync(binary, [script, ...words], options)) as Outcome
}

/** A tar archive with one file, and the same compressed by a Node that can. */
function layer(): { readonly plain: string; readonly packed: string } {
  const [folder, plain, packed] = ['tree', 'layer.tar', 'layer.tar.zst'].map(name => scratch.path(name))
  mkdirSync(folder!, { recursive: true })
  writeFileSync(path.join(folder!, 'content'), TEXT)
  run('tar', ['-C', folder!, '-cf', plain!, 'content'])
  runZstd(runtimePath('node26'), 'pack', plain!, packed!)
  return { plain: plain!, packed: packed! }
}

/** An OCI layout of one layer, whose media type says that it is compressed with zstd. */
function layout(): string {
  const { plain, packed } = layer()
  const root = scratch.path('layout')
  mkdirSync(path.join(root, 'blobs/sha256'), { recursive: true })
  const digestOf = (content: Buffer) => createHash('sha256').update(content).digest('hex')
  const blob = (type: string, content: Buffer) => {
    const hash = digestOf(content)
    writeFileSync(path.join(root, 'blobs/sha256', hash), content)
    return { mediaType: `application/vnd.oci.image.${type}`, digest: `sha256:${hash}`, size: content.length }
  }
  const json = (type: string, content: object) => blob(type, Buffer.from(JSON.stringify(content)))
  const layers = [blob('layer.v1.tar+zstd', readFileSync(packed))]
  const rootfs = { type: 'layers', diff_ids: [`sha256:${digestOf(readFileSync(plain))}`] }
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  const config = json('config.v1+json', { architecture, os: 'linux', config: {}, rootfs })
  const manifest = json('manifest.v1+json', { schemaVersion: 2, config, layers })
  writeFileSync(path.join(root, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
  writeFileSync(path.join(root, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  return root
}

const unpacked = { hasZstd: true, text: TEXT }
const refused = {
  hasZstd: false,
  code: 'DM_UNSUPPORTED',
  message: expect.stringMatching(/zstd, which Node has from 22\.15 and 23\.8 on; this is v20\./) as string,
}

test('applyTar unpacks a zstd layer on Node 22, 24 and 26, and rejects with DM_UNSUPPORTED on Node 20', () => {
  const { packed } = layer()
  for (const { name, binary } of NODES) {
    const folder = scratch.path(`unpacked-${name}`)
    mkdirSync(folder)
    expect([name, runZstd(binary, 'apply', packed, folder)]).toEqual([name, name === 'node20' ? refused : unpacked])
  }
})

test('importImage imports a zstd layer where Node has zstd, and otherwise rejects and leaves nothing', async () => {
  const files = storeFiles()
  const image = layout()
  try {
    for (const { name, binary } of WITH_SQLITE) {
      const outcome = runZstd(binary, 'import', image, JSON.stringify(files.options))
      expect([name, outcome]).toEqual([name, outcome.hasZstd ? unpacked : refused])
      if (name !== 'this Node') expect([name, outcome.hasZstd]).toEqual([name, true])
    }
    const store = await LayerStore.open(files.options)
    expect(await keysOf(store)).toEqual([])
    expect(await store.verify()).toEqual([])
    await store.close()
  } finally {
    await endStore(files)
  }
})
