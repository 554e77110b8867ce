// The commands dm-thin volume bookmark and dm-thin volume diff.
import type { Command } from 'commander'
import { ThinMetadata, type DeltaRange } from '../entry/metadata.js'
import { action, count, usageError, type Call } from './common/call.js'
import { pairs, sizeText } from './common/output.js'
import { recordOf } from './common/pool-sources.js'
import { withPool } from './pool.js'

interface ChangeOptions {
  readonly record?: string
  readonly since?: string
  readonly from?: number
}

type MakeCommand = (usage: string, summary: string, example: string) => Command

export function addChangeCommands(command: MakeCommand): void {
  command(
    'bookmark <pool>',
    'Save the mappings of a snapshot in a file, for volume diff.',
    'dm-thin volume bookmark tank 2 /backup/monday.bookmark',
  )
    .argument('<id>', 'thin id', count)
    .argument('<file>', 'the file, which is replaced if it exists')
    .action(action(bookmark))
  command(
    'diff <pool>',
    'List the blocks in which a volume differs from another, or from a bookmark.',
    'dm-thin volume diff tank 3 --since /backup/monday.bookmark',
  )
    .argument('<id>', 'thin id', count)
    .option('--from <id>', 'thin id of the other volume', count)
    .option('--since <file>', 'a bookmark')
    .action(action(diff))
}

/** Opens the metadata of the pool while `body` runs. */
const inMetadata = <T>(
  call: Call,
  name: string,
  options: ChangeOptions,
  body: (metadata: ThinMetadata) => Promise<T>,
): Promise<T> =>
  withPool(call, { name, repair: false, ...recordOf(options) }, async pool => {
    const metadata = await ThinMetadata.open(pool, { signal: call.signal })
    try {
      return await body(metadata)
    } finally {
      await metadata.close()
    }
  })

async function bookmark(call: Call, options: ChangeOptions, name: string, id: number, file: string): Promise<void> {
  const made = await inMetadata(call, name, options, metadata => metadata.bookmark(id, file, { signal: call.signal }))
  call.print({ file, ...made }, () =>
    pairs([
      ['file', file],
      ['size', sizeText(made.bytes)],
      ['mapped blocks', String(made.blocks)],
    ]),
  )
}

async function diff(call: Call, options: ChangeOptions, name: string, id: number): Promise<void> {
  const { since, from } = options
  const { signal } = call
  if ((since === undefined) === (from === undefined)) throw usageError('give --from or --since, and not both')
  await inMetadata(call, name, options, async metadata => {
    const unit = metadata.dataBlockBytes
    const ranges =
      since === undefined ? metadata.delta(from!, id, { signal }) : metadata.changedSince(since, id, { signal })
    await call.printEach(inBytes(ranges, unit), each => `${each.type} ${each.offsetBytes} ${each.lengthBytes}`)
  })
}

async function* inBytes(ranges: AsyncIterable<DeltaRange>, unit: number) {
  for await (const { type, begin, length } of ranges) {
    yield { type, offsetBytes: begin * unit, lengthBytes: length * unit }
  }
}
