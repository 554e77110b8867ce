// The snapshotter as a process of its own, on a store in a folder, and the packages of the clients.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { ThinPool } from '../../../lib/entry/index.js'
import { MAIN } from '../process/command-line.js'
import { Daemon } from '../process/daemon.js'
import { tryRun } from '../process/spawned.js'

const repository = path.join(__dirname, '../../..')
const CLIENTS = path.join(process.env['DM_THIN_CACHE'] ?? path.join(repository, '.cache/vm'), 'clients')

/** A minute of a real machine is ten of an emulated one. */
export const PATIENCE_MS = 900_000

export const SUITE = path.join(CLIENTS, 'suite')

/** A path in the tree of unpacked packages, or on this machine where it has the package itself. */
export function unpacked(file: string): string {
  const found = [path.join(CLIENTS, 'root', file), file].find(each => existsSync(each))
  if (found === undefined) throw new Error(`${file} is missing: node test/tools/run.mjs all-setup`)
  return found
}

/** A version of containerd that the tests run: Debian stable's, and Debian testing's. */
export type ContainerdVersion = 1 | 2

/** containerd or a program of its package. */
export const ofContainerd = (version: ContainerdVersion, name: string): string =>
  version === 1 ? unpacked(`/usr/bin/${name}`) : path.join(CLIENTS, 'containerd-2/usr/bin', name)

/** With the programs of those packages, and their libraries, before what the machine has. */
export function clientEnvironment(
  more: Record<string, string> = {},
  version: ContainerdVersion = 1,
): NodeJS.ProcessEnv {
  const below = (...folders: string[]) => folders.map(folder => path.join(CLIENTS, 'root', folder))
  const second = version === 2 ? [path.join(CLIENTS, 'containerd-2/usr/bin')] : []
  return {
    ...process.env,
    LC_ALL: 'C',
    PATH: [...second, ...below('usr/bin', 'usr/sbin'), process.env['PATH']].join(':'),
    LD_LIBRARY_PATH: below('usr/lib/x86_64-linux-gnu').join(':'),
    XTABLES_LIBDIR: below('usr/lib/x86_64-linux-gnu/xtables').join(':'),
    ...more,
  }
}

export interface ServerOptions {
  readonly address: string
  readonly root: string
  readonly pool: string
  readonly more?: readonly string[]
}

/** Resolves when it listens. It prints nothing else, but for the URL of its metrics. */
export const startServer = ({ address, root, pool, more = [] }: ServerOptions): Promise<Daemon> =>
  untilListening(address, [MAIN, 'snapshotter', '--address', address, '--root', root, '--pool-name', pool, ...more])

/** Runs a program of Node that prints where it listens. */
export async function untilListening(address: string, program: readonly string[]): Promise<Daemon> {
  if (!existsSync(program[0]!)) throw new Error(`${program[0]} is missing: npm run build:ts, npm run build:examples`)
  const server = new Daemon(process.execPath, ['--no-opt', ...program])
  await server.until('it listened', () => server.output.endsWith('\n'))
  const rest = server.output.replace(`listening on ${address}\n`, '')
  if (/^(metrics at http:\S+\n)?$/.test(rest)) return server
  await server.end('SIGKILL')
  throw new Error(`the server says: ${server.output}`)
}

/** Takes the pool down with all its volumes: the end of a test, which a store itself never does. */
export async function removePool(name: string): Promise<void> {
  if (tryRun('dmsetup', ['info', name]).status !== 0) return
  const pool = await ThinPool.open(name)
  await pool.remove({ deactivate: true })
}
