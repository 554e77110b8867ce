// containerd in the guest, with the example's server as its snapshotter, and what its own client says.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { GiB, LoopDevice, MiB } from '../../../lib/entry/index.js'
import type { Scratch } from '../kernel/scratch.js'
import { SnapshotsClient } from './snapshots-client.js'
import { run } from '../process/spawned.js'
import {
  clientEnvironment,
  ofContainerd,
  PATIENCE_MS,
  removePool,
  startServer,
  type ContainerdVersion,
  type ServerOptions,
} from './snapshotter.js'
import { Daemon } from '../process/daemon.js'
import { thinCheck, thinUsageBy } from '../kernel/dmsetup.js'

export const SNAPSHOTTER = 'dm-thin'
const TAR = 'application/vnd.oci.image.layer.v1.tar'
const execute = promisify(execFile)

export interface Stack {
  /** Where everything of it lies. */
  readonly folder: string
  readonly server: ServerOptions
  /** containerd's own socket. */
  readonly socket: string
  readonly version: ContainerdVersion
  /** Restarted by a test that ends it. */
  serving: Daemon
  readonly containerd: Daemon
}

interface StackOptions {
  readonly onDevices?: boolean
  readonly version?: ContainerdVersion
  /**
   * When containerd collects garbage: `always`, as it does by default, within a second of a deletion; `on request`, only
   * when `collectGarbage` asks. Docker's diff uses a view that nothing keeps from a collection.
   */
  readonly collects?: 'always' | 'on request'
}

/** containers need a tree of control groups, which nobody has mounted in the guest. */
export function mountCgroups(): void {
  if (process.env['DM_THIN_GUEST'] !== '1') throw new Error('these tests start daemons as root: run them in the guest')
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
  if (!/ cgroup2 /.test(mounts)) run('mount', ['-t', 'cgroup2', 'cgroup2', '/sys/fs/cgroup'])
}

/**
 * Runs `body` with all of it, and takes it away after. What `body` leaves in the store must be nothing: of the pool's
 * volumes only the empty file system is there at the end, as thin_ls sees it. The pool is on files, or on two block
 * devices that are told to the server the first time it starts.
 */
export async function withStack(
  scratch: Scratch,
  body: (stack: Stack) => Promise<void>,
  { onDevices = false, version = 1, collects = 'always' }: StackOptions = {},
): Promise<void> {
  mountCgroups()
  const pool = scratch.name('clients')
  const folder = scratch.path(pool)
  mkdirSync(folder)
  const server = { address: path.join(folder, 'snapshotter.sock'), root: path.join(folder, 'store'), pool }
  const socket = path.join(folder, 'containerd.sock')
  const config = path.join(folder, 'containerd.toml')
  writeFileSync(config, configuration(version, folder, socket, server.address) + COLLECTION[collects])
  const devices = onDevices ? await attach(folder) : []
  const pooled = devices.flatMap(({ path }, index) => [index === 0 ? '--pool-data' : '--pool-metadata', path])
  const serving = await startServer({ ...server, more: ['--size', '1GiB', ...pooled] })
  const program = ofContainerd(version, 'containerd')
  const containerd = new Daemon(program, ['--config', config], clientEnvironment({}, version))
  const stack: Stack = { folder, server, socket, version, serving, containerd }
  try {
    await containerd.until('it made its socket', () => existsSync(socket))
    await body(stack)
    await settled(stack)
    expect(mappedMounts()).toEqual([])
    expect(volumesOfPool(pool)).toEqual([])
    expect(await containerd.end()).toBe(0)
    expect(await stack.serving.end()).toBe(0)
    expect(existsSync(server.address)).toBe(false)
  } catch (fault) {
    process.stderr.write(`containerd said:\n${containerd.output}\nthe server said:\n${stack.serving.output}\n`)
    await endTasks(stack).catch((why: unknown) => process.stderr.write(`tasks stay: ${String(why)}\n`))
    throw fault
  } finally {
    await containerd.end('SIGKILL')
    await stack.serving.end('SIGKILL')
    await removePool(pool)
    for (const device of devices) await device.detach()
  }
  const metadata = onDevices ? path.join(folder, 'metadata') : path.join(server.root, 'metadata.img')
  thinCheck(metadata)
  expect(thinUsageBy(metadata)).toHaveLength(1)
}

async function attach(folder: string): Promise<LoopDevice[]> {
  const devices: LoopDevice[] = []
  for (const [name, bytes] of [
    ['data', 8 * GiB],
    ['metadata', 64 * MiB],
  ] as const) {
    const file = path.join(folder, name)
    writeFileSync(file, '')
    truncateSync(file, bytes)
    devices.push(await LoopDevice.attach({ file }))
  }
  return devices
}

/** When what was removed is gone from the pool too. A mount in a namespace that is just ending may keep it a while. */
async function settled({ server }: Stack): Promise<void> {
  const client = new SnapshotsClient(server.address)
  do await client.ask('cleanup', {})
  while (volumesOfPool(server.pool).length > 0)
  client.close()
}

/** Containers outlive containerd, and would keep their devices. */
async function endTasks(stack: Stack): Promise<void> {
  for (const namespace of ['default', 'moby']) {
    const names = (await ctr(stack, '--namespace', namespace, 'tasks', 'ls', '--quiet')).split('\n').filter(Boolean)
    for (const name of names) await ctr(stack, '--namespace', namespace, 'tasks', 'rm', '--force', name)
  }
}

/** containerd 1.7 reads version 2 of a configuration, containerd 2 version 3. */
const configuration = (version: ContainerdVersion, folder: string, socket: string, address: string): string => `
version = ${version + 1}
root = "${folder}/containerd"
state = "${folder}/state"

[debug]
  level = "warn"

[grpc]
  address = "${socket}"

[proxy_plugins.${SNAPSHOTTER}]
  type = "snapshot"
  address = "${address}"

${IMAGES[version]}`

const IMAGES: Readonly<Record<ContainerdVersion, string>> = {
  1: `[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "${SNAPSHOTTER}"
  disable_snapshot_annotations = false
`,
  2: `[plugins.'io.containerd.cri.v1.images']
  snapshotter = "${SNAPSHOTTER}"
  disable_snapshot_annotations = false

[[plugins.'io.containerd.transfer.v1.local'.unpack_config]]
  platform = "linux/amd64"
  snapshotter = "${SNAPSHOTTER}"
`,
}

/** The time between two collections is the time that one takes, divided by the threshold: here more than a test takes. */
const COLLECTION = {
  always: '',
  'on request': `
[plugins."io.containerd.gc.v1.scheduler"]
  pause_threshold = 0.000001
`,
} as const

/** Makes containerd collect its garbage, and waits until it has. */
export async function collectGarbage(stack: Stack, namespace: string): Promise<void> {
  await ctr(stack, '--namespace', namespace, 'leases', 'create', '--id', 'collection')
  await ctr(stack, '--namespace', namespace, 'leases', 'delete', '--sync', 'collection')
}

/** containerd's client, until it ends. */
export async function ctr(
  { socket, version = 1 }: Pick<Stack, 'socket'> & Partial<Pick<Stack, 'version'>>,
  ...args: string[]
): Promise<string> {
  const options = { env: clientEnvironment({}, version), timeout: PATIENCE_MS / 3, maxBuffer: 2 ** 26 }
  const { stdout } = await execute(ofContainerd(version, 'ctr'), ['--address', socket, ...args], options)
  return stdout
}

export interface SnapshotRow {
  readonly key: string
  readonly parent: string
  readonly kind: string
}

/** Everything that containerd has in this snapshotter. */
export async function snapshots(stack: Stack, namespace = 'default'): Promise<SnapshotRow[]> {
  const text = await ctr(stack, '--namespace', namespace, 'snapshots', '--snapshotter', SNAPSHOTTER, 'ls')
  const rows = text.trim().split('\n').slice(1)
  return rows.map(row => {
    const words = row.trim().split(/\s+/)
    return { key: words[0]!, parent: words.length === 3 ? words[1]! : '', kind: words.at(-1)! }
  })
}

/** What a layer has that its parent has not, as the text of a tar file. */
export const diffOf = (stack: Stack, key: string): Promise<string> =>
  ctr(stack, 'snapshots', '--snapshotter', SNAPSHOTTER, 'diff', '--media-type', TAR, key)

/** Mapped devices of volumes of the pool, by dmsetup. */
export const volumesOfPool = (pool: string): string[] =>
  run('dmsetup', ['ls'])
    .split('\n')
    .map(line => line.split('\t')[0]!)
    .filter(name => name.startsWith(`${pool}-`) && /-\d+$/.test(name))

/** Mounts of devices of the machine's device mapper, in this namespace. */
export const mappedMounts = (): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(line => / \/dev\/(dm-|mapper\/)/.test(line))

/** Whether a container's process runs. */
export async function runs(stack: Stack, name: string): Promise<boolean> {
  const rows = (await ctr(stack, 'tasks', 'ls')).split('\n').map(row => row.trim().split(/\s+/))
  return rows.some(([task, , status]) => task === name && status === 'RUNNING')
}
