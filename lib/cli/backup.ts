// The commands dm-thin backup: streams of volumes in a directory of chunks.
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import { action, subcommand, usageError, type Call } from './common/call.js'
import { inputStream, toNewFile } from './common/files.js'
import { pairs, sizeText } from './common/output.js'
import { shownOn } from './volume-changes.js'

interface BackupOptions {
  readonly base?: string
  readonly resume?: string
}

export function addBackupCommands(program: Command): void {
  const backup = program.command('backup').description('backups of volumes in a directory of chunks')
  const command = (usage: string, summary: string, example: string) => subcommand(backup, usage, summary, example)
  command(
    'save <directory>',
    'Save a stream on standard input, or in a file, as a backup.',
    'dm-thin backup save /backup tuesday tuesday.stream --base monday',
  )
    .argument('<name>', 'its name')
    .argument('[file]', 'the file')
    .option('--base <name>', 'backup from whose state an incremental stream leads')
    .action(action(save))
  command(
    'read <directory>',
    'Write a backup as a stream to standard output, or to a file.',
    'dm-thin backup read /backup tuesday tuesday.stream',
  )
    .argument('<name>', 'its name')
    .argument('[file]', 'the file, which must not exist')
    .option('--resume <token>', 'continue a stream that was interrupted: see volume interrupted')
    .action(action(read))
  command('ls <directory>', 'List the backups of a directory.', 'dm-thin backup ls /backup').action(action(list))
  command('delete <directory>', 'Delete backups; their chunks stay.', 'dm-thin backup delete /backup monday')
    .argument('<name...>', 'their names')
    .action(action(remove))
  command(
    'collect <directory>',
    'Delete the chunks that no backup names. Waits for backups that are being saved.',
    'dm-thin backup collect /backup',
  ).action(action(collect))
}

async function save(call: Call, options: BackupOptions, folder: string, name: string, file?: string): Promise<void> {
  const { signal } = call
  const { ChunkDirectory, saveBackup } = await import('../entry/transfer.js')
  const chunks = await ChunkDirectory.open(folder)
  const source = await inputStream(file)
  const base = options.base === undefined ? {} : { base: options.base }
  const progress = call.progress('saving')
  try {
    const saved = await saveBackup(chunks, name, source, { ...base, onProgress: shownOn(progress), signal })
    progress.end()
    call.print(saved, () =>
      pairs([
        ['name', saved.name],
        ['size', sizeText(saved.sizeBytes)],
        ['received', sizeText(saved.receivedBytes)],
        ['added', sizeText(saved.addedBytes)],
      ]),
    )
  } finally {
    progress.end()
  }
}

async function read(call: Call, options: BackupOptions, folder: string, name: string, file?: string): Promise<void> {
  const { signal } = call
  if (file === undefined && process.stdout.isTTY) throw usageError('standard output is a terminal: name a file')
  const { ChunkDirectory, readBackup } = await import('../entry/transfer.js')
  const chunks = await ChunkDirectory.open(folder)
  const progress = call.progress('reading')
  const resume = options.resume === undefined ? {} : { resume: options.resume }
  try {
    const stream = () => readBackup(chunks, name, { ...resume, onProgress: shownOn(progress), signal })
    if (file === undefined) await pipeline(await stream(), process.stdout)
    else await toNewFile(file, stream, signal)
  } finally {
    progress.end()
  }
}

async function list(call: Call, _options: BackupOptions, folder: string): Promise<void> {
  const { ChunkDirectory } = await import('../entry/transfer.js')
  const chunks = await ChunkDirectory.open(folder)
  const names: string[] = []
  for await (const name of chunks.manifests.list()) names.push(name)
  names.sort()
  call.print(names, () => names.join('\n'))
}

async function remove(call: Call, _options: BackupOptions, folder: string, names: string[]): Promise<void> {
  const { ChunkDirectory } = await import('../entry/transfer.js')
  const chunks = await ChunkDirectory.open(folder)
  for (const name of names) await chunks.manifests.delete(name)
  call.print(names, () => '')
}

async function collect(call: Call, _options: BackupOptions, folder: string): Promise<void> {
  const { ChunkDirectory, collectGarbage } = await import('../entry/transfer.js')
  const collected = await collectGarbage(await ChunkDirectory.open(folder), { signal: call.signal })
  call.print(collected, () =>
    pairs([
      ['deleted', String(collected.deleted)],
      ['kept', String(collected.kept)],
    ]),
  )
}
