// The commands dm-thin volume.
import type { Command } from 'commander'
import type { ThinPool, ThinVolume } from '../entry/index.js'
import { action, count, ids, size, subcommand, usageError, type Call } from './common/call.js'
import { EXIT } from './common/exit-codes.js'
import { nameText, pairs, sizeText, table } from './common/output.js'
import { recordOf } from './common/pool-sources.js'
import { withPool } from './pool.js'
import { addChangeCommands } from './volume-changes.js'
import { cells, factsOf, forMany, printVolumes, TITLES } from './volume-output.js'

interface VolumeOptions {
  readonly record?: string
  readonly size?: number
  readonly id?: number
  readonly name?: string
  readonly activate?: true
  readonly readOnly?: true
}

export function addVolumeCommands(program: Command): void {
  const volume = program.command('volume').description('thin volumes and snapshots of a pool')
  const command = (usage: string, summary: string, example: string) =>
    subcommand(volume, usage, summary, example).option('--record <file>', 'record beside the pool')
  command('ls <pool>', 'List the volumes of a pool.', 'dm-thin volume ls tank --usage')
    .option('--usage', 'count exclusive and shared blocks in the metadata')
    .action(action(list))
  command('status <pool>', 'Show size and mapped bytes of an active volume.', 'dm-thin volume status tank 1')
    .argument('<id>', 'thin id', count)
    .action(action((call, options: VolumeOptions, pool: string, id: number) => status(call, options, pool, id)))
  command('create <pool>', 'Make an empty volume.', 'dm-thin volume create tank --size 10GiB --activate')
    .requiredOption('--size <size>', 'size of its device', size)
    .option('--id <id>', 'thin id; default: a free one', count)
    .option('--name <name>', 'name of its mapped device; default: POOL-ID')
    .option('--activate', 'make its device too')
    .action(action(create))
  command('snapshot <pool>', 'Snapshot a volume, once or many times.', 'dm-thin volume snapshot tank 1 --count 8')
    .argument('<origin>', 'thin id', count)
    .option('--count <number>', 'how many', count)
    .option('--id <id>', 'thin id; default: a free one', count)
    .option('--name <name>', 'name of its mapped device; default: POOL-ID')
    .option('--size <size>', 'size of an inactive origin, which a pool does not store', size)
    .option('--activate', 'make its device too')
    .option('--read-only', 'with --activate: writes fail')
    .action(action(snapshot))
  command('activate <pool>', 'Make the block devices of volumes.', 'dm-thin volume activate tank 1 2 3 --size 10GiB')
    .argument('<id...>', 'thin ids', ids)
    .option('--size <size>', 'their size, which a pool does not store', size)
    .option('--name <name>', 'name of the mapped device, of one volume')
    .option('--read-only', 'writes fail')
    .action(action(activate))
  command('deactivate <pool>', 'Remove the block devices of volumes.', 'dm-thin volume deactivate tank 1 2 3')
    .argument('<id...>', 'thin ids', ids)
    .option('--timeout-ms <milliseconds>', 'how long a busy device is tried again', count)
    .action(action(deactivate))
  command('delete <pool>', 'Delete inactive volumes; their data is lost.', 'dm-thin volume delete tank 2 3')
    .argument('<id...>', 'thin ids', ids)
    .action(action(remove))
  addChangeCommands(command)
}

/** Opens the pool of the command while `body` runs. */
const inPool = <T>(call: Call, name: string, options: VolumeOptions, body: (pool: ThinPool) => Promise<T>) =>
  withPool(call, { name, ...recordOf(options) }, body)

async function list(call: Call, options: VolumeOptions & { usage?: true }, name: string): Promise<void> {
  const { signal } = call
  await withPool(call, { name, repair: false, ...recordOf(options) }, async pool => {
    const volumes = await pool.volumes({ signal })
    if (!options.usage) return printVolumes(call, volumes)
    const usage = new Map((await pool.usage({ signal })).map(each => [each.id, each]))
    const all = volumes.map(volume => ({ ...factsOf(volume), ...bytesOf(usage.get(volume.id), pool.dataBlockBytes) }))
    call.print(all, () => {
      const rows = all.map(each => [...cells(each), sizeText(each.exclusiveBytes), sizeText(each.sharedBytes)])
      return table([...TITLES, 'EXCLUSIVE', 'SHARED'], rows)
    })
  })
}

const bytesOf = (usage: { exclusiveBlocks: number; sharedBlocks: number } | undefined, blockBytes: number) => ({
  exclusiveBytes: (usage?.exclusiveBlocks ?? 0) * blockBytes,
  sharedBytes: (usage?.sharedBlocks ?? 0) * blockBytes,
})

async function status(call: Call, options: VolumeOptions, name: string, id: number): Promise<void> {
  await withPool(call, { name, repair: false, ...recordOf(options) }, async pool => {
    const volume = await pool.volume(id, { signal: call.signal })
    const found = await volume.status({ signal: call.signal })
    call.print({ ...factsOf(volume), ...found }, () =>
      pairs([
        ['id', String(volume.id)],
        ['name', nameText(volume.name)],
        ['device', volume.path],
        ['state', found.state],
        ['size', sizeText(found.sizeBytes)],
        ['mapped', found.mappedBytes === undefined ? 'unknown' : sizeText(found.mappedBytes)],
      ]),
    )
  })
}

async function create(call: Call, options: VolumeOptions & { size: number }, name: string): Promise<void> {
  await inPool(call, name, options, async pool => {
    const { signal } = call
    const volume = await pool.createVolume({ sizeBytes: options.size, ...identityOf(options), signal })
    if (options.activate) await volume.activate({ signal })
    printVolumes(call, [volume])
  })
}

const identityOf = ({ id, name }: VolumeOptions) => ({
  ...(id !== undefined && { id }),
  ...(name !== undefined && { name }),
})

async function snapshot(
  call: Call,
  options: VolumeOptions & { readonly count?: number },
  name: string,
  id: number,
): Promise<number> {
  const { count: wanted = 1, activate: activated = false, readOnly = false } = options
  if (wanted !== 1 && (options.id !== undefined || options.name !== undefined)) {
    throw usageError('--id and --name are for one snapshot')
  }
  const { signal } = call
  return inPool(call, name, options, async pool => {
    const origin = await pool.volume(id, { ...sizeOf(options), signal })
    if (wanted === 1) {
      const only = { ...identityOf(options), activate: activated, readOnly: activated && readOnly, signal }
      printVolumes(call, [await origin.snapshot(only)])
      return EXIT.ok
    }
    const { volumesOf } = await import('../entry/index.js')
    const made = volumesOf(await pool.snapshotMany(origin, wanted, { signal }))
    if (activated) {
      return forMany(call, 'activating', onProgress => pool.activateMany(made, { readOnly, onProgress, signal }))
    }
    printVolumes(call, made)
    return EXIT.ok
  })
}

const sizeOf = ({ size: sizeBytes }: VolumeOptions) => (sizeBytes === undefined ? {} : { sizeBytes })

async function activate(call: Call, options: VolumeOptions, name: string, thinIds: number[]): Promise<number> {
  const { signal } = call
  const readOnly = options.readOnly === true
  if (options.name !== undefined && thinIds.length > 1) throw usageError('--name is for one volume')
  return inPool(call, name, options, async pool => {
    const volumes = await volumesOfIds(call, pool, thinIds, options)
    if (options.name === undefined) {
      return forMany(call, 'activating', onProgress => pool.activateMany(volumes, { readOnly, onProgress, signal }))
    }
    printVolumes(call, [await volumes[0]!.activate({ name: options.name, readOnly, signal })])
    return EXIT.ok
  })
}

interface DeactivateOptions extends VolumeOptions {
  readonly timeoutMs?: number
}

async function deactivate(call: Call, options: DeactivateOptions, name: string, thinIds: number[]): Promise<number> {
  const { signal } = call
  const limit = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }
  return inPool(call, name, options, async pool => {
    const volumes = await volumesOfIds(call, pool, thinIds, options)
    return forMany(call, 'deactivating', onProgress => pool.deactivateMany(volumes, { ...limit, onProgress, signal }))
  })
}

async function remove(call: Call, options: VolumeOptions, name: string, thinIds: number[]): Promise<number> {
  const { signal } = call
  return inPool(call, name, options, async pool => {
    const volumes = await volumesOfIds(call, pool, thinIds, options)
    return forMany(call, 'deleting', onProgress => pool.deleteMany(volumes, { onProgress, signal }))
  })
}

async function volumesOfIds(call: Call, pool: ThinPool, thinIds: number[], options: VolumeOptions) {
  const found: ThinVolume[] = []
  for (const id of thinIds) found.push(await pool.volume(id, { ...sizeOf(options), signal: call.signal }))
  return found
}
