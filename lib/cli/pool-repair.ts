// The commands dm-thin pool check and dm-thin pool repair.
import type { Command } from 'commander'
import type { CheckDepth } from '../entry/index.js'
import { action, size, subcommand, type Call } from './common/call.js'
import { EXIT } from './common/exit-codes.js'
import { nameText, pairs } from './common/output.js'
import { recordOf, sourceOf } from './common/pool-sources.js'

interface SourceOptions {
  readonly data?: string
  readonly metadata?: string
  readonly record?: string
}

export function addRepairCommands(pool: Command): void {
  sources(
    subcommand(
      pool,
      'check <pool>',
      'Check the metadata of a pool, and name the call that resolves its state.',
      'dm-thin pool check tank --data tank.img --metadata tank-meta.img',
    ),
  )
    .option('--quick', 'start no thin_check')
    .action(action(check))
  sources(
    subcommand(
      pool,
      'repair <pool>',
      'Repair the metadata of a pool, keep the original, and open the pool.',
      'dm-thin pool repair tank --data tank.img --metadata tank-meta.img',
    ),
  )
    .option('--deactivate', 'deactivate active volumes first')
    .option('--to <device>', 'blank block device for metadata that is on a block device')
    .option('--block-size <size>', 'data block, if the superblock cannot be read', size)
    .action(action(repair))
}

const sources = (command: Command): Command =>
  command
    .option('--data <path>', 'file or block device for the data of a pool that does not run')
    .option('--metadata <path>', 'file or block device for its metadata')
    .option('--record <file>', 'record beside the pool')

const given = ({ data, metadata, record }: SourceOptions) => ({
  ...(data !== undefined && { data: sourceOf(data) }),
  ...(metadata !== undefined && { metadata: sourceOf(metadata) }),
  ...recordOf({ record }),
})

async function check(call: Call, options: SourceOptions & { readonly quick?: true }, name: string): Promise<number> {
  const depth: CheckDepth = options.quick ? 'quick' : 'full'
  const { ThinPool } = await import('../entry/index.js')
  const found = await ThinPool.check({ name, ...given(options), depth, signal: call.signal })
  call.print(found, () =>
    pairs([
      ['pool', nameText(name)],
      ['runs', found.running ? 'yes' : 'no'],
      ['state', found.state],
      ...found.details.map(each => ['found', each] as const),
      ['resolve', found.resolve ?? 'nothing to do'],
    ]),
  )
  return found.resolve === undefined ? EXIT.ok : EXIT.findings
}

interface RepairOptions extends SourceOptions {
  readonly deactivate?: true
  readonly to?: string
  readonly blockSize?: number
}

async function repair(call: Call, options: RepairOptions, name: string): Promise<void> {
  const { ThinPool } = await import('../entry/index.js')
  const { pool, ...done } = await ThinPool.repair({
    name,
    ...given(options),
    ...(options.to !== undefined && { to: options.to }),
    ...(options.blockSize !== undefined && { dataBlockBytes: options.blockSize }),
    deactivate: options.deactivate === true,
    signal: call.signal,
  })
  await pool.close()
  call.print(done, () =>
    pairs([
      ['pool', nameText(name)],
      ['state before', done.state],
      ['repaired by', done.by],
      ['metadata', nameText('file' in done.metadata ? done.metadata.file : done.metadata.device)],
      ['original', done.original === undefined ? 'in place' : nameText(done.original)],
      ['volumes lost', done.lost.join(' ') || 'none'],
    ]),
  )
}
