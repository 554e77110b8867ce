// The commands dm-thin pool.
import type { Command } from 'commander'
import { DmThinError } from '../base/errors.js'
import type { OpenPoolOptions, PoolStatus, ThinPool } from '../entry/index.js'
import type { DeviceMapper, ListEntry } from '../entry/kernel.js'
import { action, count, size, subcommand, usageError, type Call } from './common/call.js'
import { errorText, nameText, pairs, sizeText, table, usedText } from './common/output.js'
import { addRepairCommands } from './pool-repair.js'
import { recordOf, sourceOf } from './common/pool-sources.js'

interface RecordOption {
  readonly record?: string
}

interface CreateOptions extends RecordOption {
  readonly data: string
  readonly metadata: string
  readonly dataSize?: number
  readonly metadataSize?: number
  readonly blockSize?: number
  readonly lowWaterMark?: number
  readonly skipBlockZeroing?: true
  readonly errorIfNoSpace?: true
  readonly overwrite?: true
}

export function addPoolCommands(program: Command): void {
  const pool = program.command('pool').description('thin pools')
  subcommand(pool, 'ls', 'List the running pools that dm-thin made.', 'dm-thin pool ls')
    .option('--all', 'pools of other programs too')
    .action(action((call, options: { all?: true }) => list(call, options.all === true)))
  subcommand(
    pool,
    'status <pool>',
    'Show mode and space of a pool, and what needs attention.',
    'dm-thin pool status tank',
  ).action(
    action((call, _: object, name: string) => withPool(call, { name, repair: false }, each => status(call, each))),
  )
  const create = subcommand(
    pool,
    'create <pool>',
    'Make a pool on two blank files or block devices.',
    'dm-thin pool create tank --data tank.img --data-size 10GiB --metadata tank-meta.img --metadata-size 64MiB',
  )
  sources(create)
    .option('--data-size <size>', 'of a data file that is made', size)
    .option('--metadata-size <size>', 'of a metadata file that is made', size)
    .option('--block-size <size>', 'data block, 64KiB to 1GiB', size)
    .option('--low-water-mark <blocks>', 'raise an event when so few data blocks are free', count)
    .option('--skip-block-zeroing', 'do not zero new blocks')
    .option('--error-if-no-space', 'fail writes at once when the pool is full')
    .option('--overwrite', 'give up what is on both devices')
    .action(action(createPool))
  sources(
    subcommand(
      pool,
      'open <pool>',
      'Bring a pool back from its files or devices, as after a restart.',
      'dm-thin pool open tank --data tank.img --metadata tank-meta.img',
    ),
  )
    .option('--activate', 'activate the volumes of the record too')
    .action(action(openPool))
  subcommand(pool, 'grow <pool>', 'Make a running pool larger.', 'dm-thin pool grow tank --data 20GiB')
    .option('--data <size>', 'new size of the data', size)
    .option('--metadata <size>', 'new size of the metadata', size)
    .option('--record <file>', 'record beside the pool')
    .action(action(grow))
  subcommand(
    pool,
    'remove <pool>',
    'Take a pool down; its volumes stay on its files or devices.',
    'dm-thin pool remove tank --deactivate',
  )
    .option('--deactivate', 'deactivate active volumes first')
    .option('--delete-files', 'delete the files below the pool: all volumes are lost')
    .option('--record <file>', 'record beside the pool, deleted with the files')
    .action(action(remove))
  addRepairCommands(pool)
}

function sources(command: Command): Command {
  return command
    .requiredOption('--data <path>', 'file or block device for the data')
    .requiredOption('--metadata <path>', 'file or block device for the metadata')
    .option('--record <file>', 'keep names and sizes of volumes in this file')
}

/** Opens a pool while `body` runs. */
export async function withPool<T>(
  call: Call,
  options: OpenPoolOptions,
  body: (pool: ThinPool) => Promise<T>,
): Promise<T> {
  const { ThinPool } = await import('../entry/index.js')
  const pool = await ThinPool.open({ ...options, signal: call.signal })
  try {
    return await body(pool)
  } finally {
    await pool.close()
  }
}

async function openPool(
  call: Call,
  options: CreateOptions & { readonly activate?: true },
  name: string,
): Promise<void> {
  const { data, metadata, activate } = options
  if (activate && options.record === undefined) throw usageError('--activate needs --record')
  const sources = { data: sourceOf(data), metadata: sourceOf(metadata), ...recordOf(options) }
  await withPool(call, { name, ...sources, ...(activate && { activate: 'recorded' as const }) }, async pool => {
    await status(call, pool)
    for (const { kind, device, error } of pool.findings) {
      if (kind === 'volume-inactive' && error) throw error.refined(error.code, `${device}: ${error.message}`)
    }
  })
}

type Listed = { readonly name: string; readonly path: string } & ({ status: PoolStatus } | { error: DmThinError })

async function list(call: Call, all: boolean): Promise<void> {
  const { DeviceMapper } = await import('../entry/kernel.js')
  const { POOL_UUID_PREFIX } = await import('../pool/state/context.js')
  const { signal } = call
  const mapper = await DeviceMapper.open({ signal })
  const devices = await mapper.listDevices(all ? { signal } : { uuidPrefix: POOL_UUID_PREFIX, signal })
  const pools: Listed[] = []
  for (const device of devices) {
    if (all && !(await isPool(mapper, device))) continue
    const { name } = device
    const path = `/dev/dm-${device.device.split(':')[1]!}`
    try {
      pools.push({ name, path, status: await withPool(call, { name, repair: false }, each => each.status({ signal })) })
    } catch (error) {
      if (!(error instanceof DmThinError) || error.code === 'ABORT_ERR') throw error
      if (error.code !== 'DM_NOT_FOUND') pools.push({ name, path, error }) // removed since it was listed
    }
  }
  call.print(pools, () => table(['NAME', 'DEVICE', 'MODE', 'DATA', 'METADATA'], pools.map(row)))
}

async function isPool(mapper: DeviceMapper, { device }: ListEntry): Promise<boolean> {
  const targets = await mapper.table({ device }).catch(() => [])
  return targets[0]?.type === 'thin-pool'
}

function row(pool: Listed): string[] {
  const { name, path } = pool
  if ('error' in pool) return [nameText(name), path, pool.error.code, '-', '-']
  const { mode, data, metadata } = pool.status
  const used = (space: typeof data) => (space ? usedText(space.usedBytes, space.totalBytes) : '-')
  return [nameText(name), path, mode, used(data), used(metadata)]
}

async function status(call: Call, pool: ThinPool): Promise<void> {
  const { name, path, dataBlockBytes, findings } = pool
  const found = await pool.status({ signal: call.signal })
  call.print({ name, path, dataBlockBytes, ...found, findings }, () => {
    const { mode, data, metadata, snapshots } = found
    return pairs([
      ['name', nameText(name)],
      ['device', path],
      ['mode', mode],
      ['data', data ? usedText(data.usedBytes, data.totalBytes) : 'unknown'],
      ['metadata', metadata ? usedText(metadata.usedBytes, metadata.totalBytes) : 'unknown'],
      ['data block', sizeText(dataBlockBytes)],
      ['low-water mark', `${found.lowWaterMark.blocks} blocks`],
      ['transaction id', String(found.transactionId ?? 'unknown')],
      ['snapshots left', String(snapshots?.left ?? 'unknown')],
      ['discards', found.discard],
      ['when full', found.whenFull],
      ['needs check', found.needsCheck ? 'yes: dm-thin pool repair' : 'no'],
      ...findings.map(each => ['finding', findingText(each)] as const),
    ])
  })
}

const findingText = ({ kind, device, action, detail, error }: ThinPool['findings'][number]): string =>
  [`${kind} of ${nameText(device)}: ${action}`, detail, error && errorText(error)].filter(Boolean).join(', ')

async function createPool(call: Call, options: CreateOptions, name: string): Promise<void> {
  const { data, metadata, dataSize, metadataSize, blockSize, lowWaterMark } = options
  const { ThinPool } = await import('../entry/index.js')
  const pool = await ThinPool.create({
    name,
    data: sourceOf(data, dataSize),
    metadata: sourceOf(metadata, metadataSize),
    ...(blockSize !== undefined && { dataBlockBytes: blockSize }),
    ...(lowWaterMark !== undefined && { lowWaterMarkBlocks: lowWaterMark }),
    skipBlockZeroing: options.skipBlockZeroing === true,
    errorIfNoSpace: options.errorIfNoSpace === true,
    format: options.overwrite ? 'overwrite' : 'blank',
    ...recordOf(options),
    signal: call.signal,
  })
  try {
    await status(call, pool)
  } finally {
    await pool.close()
  }
}

interface GrowOptions extends RecordOption {
  readonly data?: number
  readonly metadata?: number
}

async function grow(call: Call, options: GrowOptions, name: string): Promise<void> {
  const { data, metadata } = options
  if (data === undefined && metadata === undefined) throw usageError('--data or --metadata is needed')
  await withPool(call, { name, ...recordOf(options) }, async pool => {
    const sizes = {
      ...(data !== undefined && { dataBytes: data }),
      ...(metadata !== undefined && { metadataBytes: metadata }),
    }
    await pool.grow({ ...sizes, signal: call.signal })
    await status(call, pool)
  })
}

interface RemoveOptions extends RecordOption {
  readonly deactivate?: true
  readonly deleteFiles?: true
}

async function remove(call: Call, options: RemoveOptions, name: string): Promise<void> {
  const { deactivate = false, deleteFiles = false } = options
  await withPool(call, { name, ...recordOf(options) }, async pool => {
    const removed = await pool.remove({ deactivate, deleteFiles, signal: call.signal })
    call.print(removed, () => {
      const { volumes, loops, files } = removed
      return pairs([
        ['removed', nameText(removed.pool)],
        ['volumes deactivated', String(volumes.length)],
        ['loop devices detached', loops.join(' ') || 'none'],
        ['files deleted', files.map(nameText).join(' ') || 'none'],
      ])
    })
  })
}
