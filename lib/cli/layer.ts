// The commands dm-thin layer.
import { Option, type Command } from 'commander'
import type { LayerInfo, LayerStore, StoreFinding } from '../entry/store.js'
import { action, count, each, size, subcommand, usageError, type Call } from './common/call.js'
import { EXIT } from './common/exit-codes.js'
import { exportImage, importImage } from './layer-image.js'
import { layerTrees, treeText } from './layer-tree.js'
import { findingText, withStore } from './open-store.js'
import { errorText, nameText, pairs, sizeText, table } from './common/output.js'
import { sourceOf } from './common/pool-sources.js'

export function addLayerCommands(program: Command): void {
  const layer = program.command('layer').description('image layers of a layer store')
  subcommand(layer, 'create <directory>', 'Make a layer store.', 'dm-thin layer create /var/lib/layers')
    .option('--pool-name <name>', 'name of the pool; default: chosen once')
    .option('--pool-data <path>', 'file or block device for the data; default: a file in the directory')
    .option('--pool-metadata <path>', 'file or block device for the metadata; default: a file in the directory')
    .option('--pool-data-size <size>', 'of a data file that is made', size)
    .option('--pool-metadata-size <size>', 'of a metadata file that is made', size)
    .action(action(create))
  subcommand(layer, 'ls <directory>', 'List layers.', `dm-thin layer ls /var/lib/layers --filter kind==active`)
    .option('--filter <filter>', "containerd's filter language; several are alternatives", each)
    .action(action(list))
  subcommand(
    layer,
    'tree <directory>',
    'Show layers below their parents.',
    'dm-thin layer tree /var/lib/layers',
  ).action(action(tree))
  subcommand(
    layer,
    'import <directory> <archive>',
    'Import an image: an archive of docker save or OCI, an OCI directory, or - for standard input.',
    'docker save busybox | dm-thin layer import /var/lib/layers -',
  )
    .option('--name <name>', 'which image, if there are several')
    .option('--platform <platform>', 'as linux/arm64; default: that of this machine')
    .addOption(new Option('--fs <type>', 'file system of the lowest layer').choices(['ext4', 'xfs']))
    .option('--size <size>', 'size of the file system of the lowest layer', size)
    .option('--label <name=value>', 'label of the layers that are made, any number of times', each)
    .option('--strip-setuid', 'drop setuid and setgid bits')
    .option('--skip-devices', 'leave device nodes out')
    .action(action(importImage))
  subcommand(
    layer,
    'export <directory> <layer>',
    'Export a committed layer and all below it as an archive for docker load and ctr images import.',
    'dm-thin layer export /var/lib/layers base --name docker.io/library/mine:1 --output mine.tar',
  )
    .option('-o, --output <file>', 'a new file; default: standard output')
    .option('--name <name>', 'name of the image in the archive')
    .option('--uncompressed', 'do not compress the layers')
    .action(action(exportImage))
  subcommand(
    layer,
    'changes <directory> <layer> [lower]',
    'Print what a layer adds (A), changes (C) and deletes (D) against its parent, or against another layer.',
    'dm-thin layer changes /var/lib/layers web-1',
  ).action(action(changes))
  subcommand(
    layer,
    'space <directory>',
    'Count the blocks that each layer has for itself.',
    'dm-thin layer space /var/lib/layers',
  ).action(action(space))
  subcommand(
    layer,
    'verify <directory>',
    'Compare records, pool and kernel; change nothing.',
    'dm-thin layer verify /var/lib/layers',
  ).action(
    action((call, _: object, directory: string) =>
      withStore(call, directory, async store => findings(call, await store.verify())),
    ),
  )
  subcommand(
    layer,
    'repair <directory>',
    'Repair what is safe to repair.',
    'dm-thin layer repair /var/lib/layers --dry-run',
  )
    .option('--dry-run', 'print what would be done')
    .option('--delete-retired', 'delete volumes that the store has no record of: their data is lost')
    .option('--accept-pool', 'go on from a pool that is older than the records')
    .action(action(repair))
  subcommand(
    layer,
    'prune <directory>',
    'Remove committed layers that nothing needs.',
    'dm-thin layer prune /var/lib/layers --keep base --dry-run',
  )
    .option('--dry-run', 'print what would be removed')
    .option('--keep <layer>', 'keep this layer and all below it, any number of times', each)
    .option('--most <number>', 'stop after so many', count)
    .action(action(prune))
}

interface CreateOptions {
  readonly poolName?: string
  readonly poolData?: string
  readonly poolMetadata?: string
  readonly poolDataSize?: number
  readonly poolMetadataSize?: number
}

async function create(call: Call, options: CreateOptions, directory: string): Promise<void> {
  const { poolName, poolData, poolMetadata } = options
  if ((poolData === undefined) !== (poolMetadata === undefined)) {
    throw usageError('--pool-data and --pool-metadata go together')
  }
  const pool = {
    ...(poolName !== undefined && { name: poolName }),
    ...(poolData !== undefined && { data: sourceOf(poolData, options.poolDataSize) }),
    ...(poolMetadata !== undefined && { metadata: sourceOf(poolMetadata, options.poolMetadataSize) }),
  }
  const { LayerStore } = await import('../entry/store.js')
  const store = await LayerStore.open({ directory, pool, signal: call.signal })
  try {
    const made = { directory: store.directory, pool: store.poolName }
    call.print(made, () =>
      pairs([
        ['directory', nameText(made.directory)],
        ['pool', nameText(made.pool)],
      ]),
    )
  } finally {
    await store.close()
  }
}

async function layersOf(store: LayerStore, filter?: readonly string[]): Promise<LayerInfo[]> {
  const { parseFilters } = await import('../entry/store.js')
  const layers: LayerInfo[] = []
  for await (const layer of store.walk(filter ? { filter: parseFilters(filter) } : {})) layers.push(layer)
  return layers
}

/** Formats a time: `2026-01-31 12:00:00`, UTC. */
const timeText = (nanoseconds: bigint): string =>
  new Date(Number(nanoseconds / 1_000_000n)).toISOString().slice(0, 19).replace('T', ' ')

async function list(call: Call, { filter }: { filter?: string[] }, directory: string): Promise<void> {
  const layers = await withStore(call, directory, store => layersOf(store, filter))
  printLayers(call, layers)
}

function printLayers(call: Call, layers: readonly LayerInfo[]): void {
  call.print(layers, () => {
    const rows = layers.map(({ key, kind, parent, sizeBytes, fileSystem, raw, createdAt }) => {
      const below = parent === '' ? '-' : nameText(parent)
      return [nameText(key), kind, below, sizeText(sizeBytes), raw ? 'raw' : fileSystem, timeText(createdAt)]
    })
    return table(['LAYER', 'KIND', 'PARENT', 'SIZE', 'FS', 'CREATED'], rows)
  })
}

async function tree(call: Call, _: object, directory: string): Promise<void> {
  const trees = layerTrees(await withStore(call, directory, store => layersOf(store)))
  call.print(trees, () => treeText(trees))
}

async function changes(call: Call, _: object, directory: string, layer: string, lower?: string): Promise<void> {
  await withStore(call, directory, async store => {
    const below = lower ?? (await store.stat(layer)).parent
    const found = store.changes(below, layer, { signal: call.signal })
    await call.printEach(found, ({ kind, path }) => `${kind} ${path}`)
  })
}

async function space(call: Call, _: object, directory: string): Promise<void> {
  const layers = await withStore(call, directory, store => store.space({ signal: call.signal }))
  call.print(layers, () =>
    table(
      ['LAYER', 'KIND', 'EXCLUSIVE', 'SHARED'],
      layers.map(({ key, kind, exclusiveBytes, sharedBytes }) => [
        nameText(key),
        kind,
        sizeText(exclusiveBytes),
        sizeText(sharedBytes),
      ]),
    ),
  )
}

/** Prints findings. Returns `findings` if an action is still needed for one of them. */
function findings(call: Call, found: readonly StoreFinding[]): number {
  call.print(found, () => (found.length === 0 ? 'nothing found' : found.map(findingText).join('\n')))
  return found.some(({ action }) => action === 'none') ? EXIT.findings : EXIT.ok
}

interface RepairCommandOptions {
  readonly dryRun?: true
  readonly deleteRetired?: true
  readonly acceptPool?: true
}

async function repair(call: Call, options: RepairCommandOptions, directory: string): Promise<number> {
  const { dryRun = false, deleteRetired = false, acceptPool = false } = options
  return withStore(call, directory, async store =>
    findings(call, await store.repair({ dryRun, deleteRetired, acceptPool })),
  )
}

interface PruneCommandOptions {
  readonly dryRun?: true
  readonly keep?: readonly string[]
  readonly most?: number
}

/** Prunes layers, and waits until their blocks are free, except those of volumes that are still in use. */
async function prune(call: Call, options: PruneCommandOptions, directory: string): Promise<number> {
  const { dryRun = false, keep = [], most } = options
  return withStore(call, directory, async store => {
    const removed = await store.prune({ dryRun, keep, ...(most !== undefined && { most }) })
    printLayers(call, removed)
    if (dryRun) return EXIT.ok
    const stuck = await store.cleanup()
    for (const { thin, error } of stuck) call.note(`volume ${thin} is not removed yet: ${errorText(error)}`)
    return stuck.length === 0 ? EXIT.ok : EXIT.findings
  })
}
