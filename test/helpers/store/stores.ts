// A layer store for one test, on files of its own; when it goes nothing is left, and thin_check passes its metadata.
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { GiB, MiB } from '../../../lib/entry/index.js'
import { LayerStore, type OpenStoreOptions } from '../../../lib/entry/store.js'
import { MARK } from '../kernel/kernel-state.js'
import { checkLater } from '../metadata/check.js'
import { takeDown } from '../pool/pools.js'
import { markedName } from '../kernel/scratch.js'
import { run } from '../process/spawned.js'

export interface StoreFiles {
  readonly directory: string
  readonly poolName: string
  readonly dataFile: string
  readonly metadataFile: string
  /** The options with which it is opened. */
  readonly options: OpenStoreOptions
}

export interface TestStoreOptions extends Partial<Omit<OpenStoreOptions, 'directory' | 'pool'>> {
  /** Size of the sparse data file. Default 2 GiB. */
  readonly dataBytes?: number
}

/** Options of a new store in a directory of its own. */
export function storeFiles({ dataBytes = 2 * GiB, ...given }: TestStoreOptions = {}): StoreFiles {
  return storeFilesIn(mkdtempSync(path.join(realpathSync(tmpdir()), MARK)), { dataBytes, ...given })
}

/** The same in a directory of the caller's. */
export function storeFilesIn(directory: string, { dataBytes = 2 * GiB, ...given }: TestStoreOptions): StoreFiles {
  const poolName = markedName('store')
  const dataFile = path.join(directory, 'data.img')
  const metadataFile = path.join(directory, 'metadata.img')
  const pool = {
    name: poolName,
    data: { file: dataFile, sizeBytes: dataBytes },
    metadata: { file: metadataFile, sizeBytes: 16 * MiB },
  }
  const sizeBytes = given.fileSystem === 'xfs' ? 300 * MiB : 64 * MiB
  return { directory, poolName, dataFile, metadataFile, options: { directory, pool, sizeBytes, ...given } }
}

/** Opens a new store, runs `body`, takes the pool down and has its metadata checked by the end of the file. */
export async function withStore<T>(
  options: TestStoreOptions,
  body: (store: LayerStore, files: StoreFiles) => Promise<T>,
): Promise<T> {
  const files = storeFiles(options)
  const store = await LayerStore.open(files.options)
  const result = await body(store, files)
  await store.close()
  await endStore(files)
  return result
}

/** Takes the pool down and forgets the directory. */
export async function endStore(
  { poolName, directory, metadataFile }: StoreFiles,
  check: readonly string[] = [],
): Promise<void> {
  await takeDown(poolName)
  checkLater(metadataFile, check, () => rmSync(directory, { recursive: true, force: true }))
}

/** The keys that the store has, as its records say. */
export async function keysOf(store: LayerStore): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.walk()) keys.push(key)
  return keys
}

/** Thin ids that the pool has, by thin_ls on metadata that is held for the while. */
export function thinIdsBy(poolName: string): number[] {
  run('dmsetup', ['message', poolName, '0', 'reserve_metadata_snap'])
  try {
    const table = run('dmsetup', ['table', poolName]).trim().split(' ')
    const device = `/dev/block/${table[3]!}`
    const ids = run('thin_ls', ['--metadata-snap', '--no-headers', '--format', 'DEV', nodeOf(device)])
    return ids
      .split('\n')
      .filter(line => line.trim() !== '')
      .map(Number)
  } finally {
    run('dmsetup', ['message', poolName, '0', 'release_metadata_snap'])
  }
}

/** `/dev/loop3` of `/dev/block/7:3`: the guest without udev has no links. */
const nodeOf = (link: string): string => {
  const [major, minor] = path.basename(link).split(':')
  return realpathSync(`/sys/dev/block/${major}:${minor}`).replace(/.*\//, '/dev/')
}
