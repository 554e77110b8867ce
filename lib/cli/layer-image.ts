// The commands dm-thin layer import and export.
import { pipeline } from 'node:stream/promises'
import type { LayerFileSystem } from '../entry/store.js'
import { usageError, type Call } from './common/call.js'
import { toNewFile } from './common/files.js'
import { withStore } from './open-store.js'
import { nameText, sizeText } from './common/output.js'

export interface ImportImageOptions {
  readonly name?: string
  readonly platform?: string
  readonly fs?: LayerFileSystem
  readonly size?: number
  readonly label?: readonly string[]
  readonly stripSetuid?: true
  readonly skipDevices?: true
}

/** Imports an image. The archive `-` is standard input. */
export async function importImage(call: Call, options: ImportImageOptions, directory: string, archive: string) {
  const { name, platform, fs, size, label = [], stripSetuid, skipDevices } = options
  const progress = call.progress('importing')
  const base = { ...(fs !== undefined && { fileSystem: fs }), ...(size !== undefined && { sizeBytes: size }) }
  const image = await withStore(
    call,
    directory,
    store =>
      store.importImage(archive === '-' ? process.stdin : archive, {
        ...(name !== undefined && { name }),
        ...(platform !== undefined && { platform }),
        ...(stripSetuid && { setuid: 'strip' }),
        ...(skipDevices && { devices: 'skip' }),
        labels: Object.fromEntries(label.map(labelOf)),
        onProgress: ({ layer, layers, entries, bytes }) =>
          progress.update(layer - 1, layers, `layer ${layer}: ${entries} entries, ${sizeText(bytes)}`),
        signal: call.signal,
      }),
    base,
  ).finally(() => {
    progress.end()
    // A read of it that is under way would keep the process from ending after an abort.
    if (archive === '-') process.stdin.destroy()
  })
  call.print(image, () => image.layers.map(nameText).join('\n'))
}

function labelOf(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw usageError(`--label ${text}: it must be NAME=VALUE`)
  return [text.slice(0, at), text.slice(at + 1)]
}

export interface ExportImageOptions {
  readonly output?: string
  readonly name?: string
  readonly uncompressed?: true
}

/** Exports an image. Without --output, writes to standard output, which must not be a terminal. */
export async function exportImage(call: Call, options: ExportImageOptions, directory: string, layer: string) {
  const { output, name, uncompressed } = options
  if (output === undefined && (call.json || process.stdout.isTTY)) {
    throw usageError('--output is needed: an archive is not for a terminal, and --json prints something else')
  }
  const progress = call.progress('exporting')
  const bytes = await withStore(call, directory, async store => {
    const archive = () =>
      store.exportImage(layer, {
        ...(name !== undefined && { name }),
        compression: uncompressed ? 'none' : 'gzip',
        onProgress: ({ layer: done, layers }) => progress.update(done, layers),
        signal: call.signal,
      })
    if (output !== undefined) return toNewFile(output, archive, call.signal)
    await pipeline(archive(), process.stdout, { end: false, signal: call.signal })
    return 0
  }).finally(() => progress.end())
  if (output !== undefined) call.print({ layer, output, bytes }, () => `${nameText(output)} ${sizeText(bytes)}`)
}
