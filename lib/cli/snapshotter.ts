// The command dm-thin snapshotter.
import { once } from 'node:events'
import { InvalidArgumentError, Option, type Command } from 'commander'
import type { LayerFileSystem } from '../entry/store.js'
import type { PoolDevices } from '../entry/snapshotter.js'
import { action, size, subcommand, usageError, type Call } from './common/call.js'

interface SnapshotterCommandOptions {
  readonly address: string
  readonly root: string
  readonly poolName?: string
  readonly poolData?: string
  readonly poolMetadata?: string
  readonly pool: Readonly<Record<string, PoolDevices>>
  readonly fs: LayerFileSystem
  readonly size: number
  readonly metrics?: { readonly host?: string; readonly port: number }
}

export function addSnapshotterCommand(program: Command): void {
  subcommand(
    program,
    'snapshotter',
    'Answer containerd as its snapshotter, from a layer store, until SIGTERM or SIGINT.',
    'dm-thin snapshotter --root /var/lib/dm-thin --pool-data /dev/vg/data --pool-metadata /dev/vg/metadata',
  )
    .option('--address <path>', 'the Unix socket', '/run/dm-thin/snapshotter.sock')
    .option('--root <directory>', 'directory of the layer store', '/var/lib/dm-thin')
    .option('--pool-name <name>', 'name of the pool; default: chosen once')
    .option('--pool-data <device>', 'block device for the data, at the first start; default: a file in the directory')
    .option('--pool-metadata <device>', 'block device for the metadata, at the first start; default: a file')
    .option('--pool <name[=data,metadata]>', 'one more pool, any number of times', further, {})
    .addOption(
      new Option('--fs <type>', 'file system of layers without a parent').choices(['ext4', 'xfs']).default('ext4'),
    )
    .option('--size <size>', 'size of these file systems', size, 10 * 2 ** 30)
    .option('--metrics <[host:]port>', 'serve metrics for Prometheus; the default host is 127.0.0.1', hostAndPort)
    .action(action(serve))
}

/** Parses `NAME` or `NAME=DATA,METADATA`. The name is checked when the pools are opened. */
function further(text: string, before: Readonly<Record<string, PoolDevices>>): Readonly<Record<string, PoolDevices>> {
  const [, name, data, metadata] = /^([^=,]+)(?:=([^,]+),([^,]+))?$/.exec(text) ?? []
  if (name === undefined) throw new InvalidArgumentError('It must be NAME or NAME=DATA,METADATA.')
  return { ...before, [name]: data !== undefined && metadata !== undefined ? { data, metadata } : {} }
}

/** Parses `PORT`, `HOST:PORT` or `[ADDRESS]:PORT`. */
function hostAndPort(text: string): { host?: string; port: number } {
  const [, bracketed, plain, port] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(text) ?? []
  if (port === undefined || Number(port) > 65_535) throw new InvalidArgumentError('It must be PORT or HOST:PORT.')
  const host = bracketed ?? plain
  return { ...(host !== undefined && { host }), port: Number(port) }
}

async function serve(call: Call, options: SnapshotterCommandOptions): Promise<void> {
  const { address, root, poolName, poolData, poolMetadata, pool: pools, fs: fileSystem, size: sizeBytes } = options
  if ((poolData === undefined) !== (poolMetadata === undefined)) {
    throw usageError('--pool-data and --pool-metadata go together')
  }
  const pool = {
    ...(poolName !== undefined && { name: poolName }),
    ...(poolData !== undefined && { data: poolData }),
    ...(poolMetadata !== undefined && { metadata: poolMetadata }),
  }
  const { startSnapshotter } = await import('../entry/snapshotter.js')
  const snapshotter = await startSnapshotter({
    address,
    store: { directory: root, pool, fileSystem, sizeBytes },
    pools,
    ...(options.metrics !== undefined && { metrics: options.metrics }),
    onError: (text, error) => console.error(`${text}:`, error),
  })
  const { address: listening, metricsUrl } = snapshotter
  const metrics = metricsUrl === undefined ? '' : `\nmetrics at ${metricsUrl}`
  call.print({ address: listening, metricsUrl }, () => `listening on ${listening}${metrics}`)
  if (!call.signal.aborted) await once(call.signal, 'abort')
  await snapshotter.stop()
}
