// The commands dm-thin volume bookmark, diff, send, receive and interrupted.
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import type { DeltaRange, ThinMetadata } from '../entry/metadata.js'
import type { TransferProgress } from '../entry/transfer.js'
import { action, count, size, usageError, type Call } from './common/call.js'
import { inputStream, toNewFile } from './common/files.js'
import { pairs, sizeText, table, type Progress } from './common/output.js'
import { recordOf } from './common/pool-sources.js'
import { withPool } from './pool.js'
import { printVolumes } from './volume-output.js'

interface ChangeOptions {
  readonly record?: string
  readonly since?: string
  readonly from?: number
}

interface TransferOptions {
  readonly record?: string
  readonly size?: number
  readonly from?: number
  readonly since?: string
  readonly base?: number
  readonly verifyBase?: true
  readonly name?: string
  readonly activate?: true
  readonly readOnly?: true
  readonly saveEvery?: number
  readonly resume?: string
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
  addTransferCommands(command)
}

/** Opens the metadata of the pool while `body` runs. */
const inMetadata = <T>(
  call: Call,
  name: string,
  options: ChangeOptions,
  body: (metadata: ThinMetadata) => Promise<T>,
): Promise<T> =>
  withPool(call, { name, repair: false, ...recordOf(options) }, async pool => {
    const { ThinMetadata } = await import('../entry/metadata.js')
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

function addTransferCommands(command: MakeCommand): void {
  command(
    'send <pool>',
    'Write a snapshot as a stream to standard output, or to a file.',
    'dm-thin volume send tank 3 tuesday.stream --since /backup/monday.bookmark',
  )
    .argument('<id>', 'thin id', count)
    .argument('[file]', 'the file, which must not exist')
    .option('--size <size>', 'size of an inactive volume, which a pool does not store', size)
    .option('--from <id>', 'send what has changed since this snapshot', count)
    .option('--since <file>', 'send what has changed since this bookmark')
    .option('--resume <token>', 'continue a stream that was interrupted: see volume interrupted')
    .action(action(send))
  command(
    'receive <pool>',
    'Make a volume from a stream on standard input, or in a file.',
    'dm-thin volume receive copies tuesday.stream --base 1 --record copies.json',
  )
    .argument('[file]', 'the file')
    .option('--base <id>', 'thin id of the volume that was received from the base of the stream', count)
    .option('--verify-base', 'read all mappings of the base')
    .option('--name <name>', 'name of its mapped device; default: POOL-ID')
    .option('--activate', 'make its device too')
    .option('--read-only', 'with --activate: writes fail')
    .option('--save-every <size>', 'keep what was received if the stream is interrupted, after each such size', size)
    .action(action(receive))
  command(
    'interrupted <pool>',
    'List the receives that were interrupted, with the tokens to continue them.',
    'dm-thin volume interrupted copies --record copies.json',
  ).action(action(interrupted))
}

async function send(call: Call, options: TransferOptions, name: string, id: number, file?: string): Promise<void> {
  const { since, from, resume } = options
  const { signal } = call
  if (since !== undefined && from !== undefined) throw usageError('give one of --from and --since')
  if (file === undefined && process.stdout.isTTY) throw usageError('standard output is a terminal: name a file')
  const { sendVolume } = await import('../entry/transfer.js')
  await withPool(call, { name, repair: false, ...recordOf(options) }, async pool => {
    const sized = options.size === undefined ? {} : { sizeBytes: options.size }
    const volume = await pool.volume(id, { ...sized, signal })
    const base = from === undefined ? since : await pool.volume(from, { signal })
    const progress = call.progress('sending')
    const wanted = {
      onProgress: shownOn(progress),
      signal,
      ...(base !== undefined && { from: base }),
      ...(resume !== undefined && { resume }),
    }
    try {
      const stream = () => sendVolume(pool, volume, wanted)
      if (file === undefined) await pipeline(await stream(), process.stdout)
      else await toNewFile(file, stream, signal)
    } finally {
      progress.end()
    }
  })
}

async function receive(call: Call, options: TransferOptions, name: string, file?: string): Promise<void> {
  const { receiveVolume } = await import('../entry/transfer.js')
  const { signal } = call
  await withPool(call, { name, repair: false, ...recordOf(options) }, async pool => {
    const source = await inputStream(file)
    const base = options.base === undefined ? {} : { base: await pool.volume(options.base, { signal }) }
    const { name: named, verifyBase = false, activate = false, readOnly = false, saveEvery } = options
    const given = {
      ...(named !== undefined && { name: named }),
      ...(saveEvery !== undefined && { saveEveryBytes: saveEvery }),
    }
    const progress = call.progress('receiving')
    try {
      const wanted = { ...base, ...given, verifyBase, activate, readOnly, onProgress: shownOn(progress), signal }
      const volume = await receiveVolume(pool, source, wanted)
      progress.end()
      printVolumes(call, [volume])
    } finally {
      progress.end()
    }
  })
}

async function interrupted(call: Call, options: TransferOptions, name: string): Promise<void> {
  await withPool(call, { name, repair: false, ...recordOf(options) }, async pool => {
    const { interruptedReceives } = await import('../entry/transfer.js')
    const found = await interruptedReceives(pool, { signal: call.signal })
    call.print(found, () => {
      const rows = found.map(each => [
        String(each.volume),
        sizeText(each.offsetBytes),
        sizeText(each.sizeBytes),
        each.token,
      ])
      return found.length === 0 ? '' : table(['ID', 'RECEIVED', 'SIZE', 'TOKEN'], rows)
    })
  })
}

/** Returns the callback that shows the progress of a transfer. */
export const shownOn =
  (progress: Progress) =>
  ({ offsetBytes, sizeBytes }: TransferProgress): void =>
    progress.update(offsetBytes, sizeBytes)
