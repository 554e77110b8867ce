// What containerd's suite does not ask of the snapshotter: labels of its own, classes of errors, batches, filters,
// its socket, and how it ends.
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { status } from '@grpc/grpc-js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { SnapshotsClient } from '../helpers/containerd/snapshots-client.js'
import { dmThin, MAIN } from '../helpers/process/command-line.js'
import {
  PATIENCE_MS,
  removePool,
  startServer,
  untilListening,
  type ServerOptions,
} from '../helpers/containerd/snapshotter.js'
import type { Daemon } from '../helpers/process/daemon.js'
import { run } from '../helpers/process/spawned.js'
import { Systemd, unitOf, writeUnits } from '../helpers/process/systemd.js'

const scratch = useScratch()
const MiB = 2 ** 20
const SIZE = 'containerd.io/snapshot/dm-thin/size'
const FILE_SYSTEM = 'containerd.io/snapshot/dm-thin/fstype'
const POOL = 'containerd.io/snapshot/dm-thin/pool'

async function withServer(
  body: (client: SnapshotsClient, server: Daemon, options: ServerOptions) => Promise<void>,
  ...rest: string[]
): Promise<void> {
  const pool = scratch.name('server')
  const more = ['--size', '64MiB', ...rest]
  const options = { address: scratch.path(`${pool}.sock`), root: scratch.path(pool), pool, more }
  const server = await startServer(options)
  const client = new SnapshotsClient(options.address)
  try {
    await body(client, server, options)
  } finally {
    client.close()
    await server.end('SIGKILL')
    for (const each of [pool, `${pool}.fast`]) await removePool(each)
    rmSync(options.root, { recursive: true }) // the guest's memory
  }
}

const codeOf = (call: Promise<unknown>): Promise<status | undefined> =>
  call.then(
    () => undefined,
    (error: { code: status }) => error.code,
  )

/** Bytes of a block device, by sysfs. */
const sizeOf = (device: string): number => 512 * Number(readFileSync(`/sys/class/block/${path.basename(device)}/size`))

test(
  'labels select size and file system, and each error has the gRPC status that containerd expects',
  () =>
    withServer(async client => {
      const [plain] = await client.prepare('plain')
      expect(plain).toMatchObject({ type: 'ext4', options: [] })
      expect(sizeOf(plain!.source)).toBe(64 * MiB)
      const [large] = await client.prepare('large', '', { [SIZE]: '512MiB', [FILE_SYSTEM]: 'xfs', empty: '' })
      expect(large).toMatchObject({ type: 'xfs', options: ['nouuid'] })
      expect(sizeOf(large!.source)).toBe(512 * MiB)
      await client.ask('commit', { name: 'base', key: 'large', labels: {} })
      // As an unpacker does, which gives each layer the labels of the image.
      const [child] = await client.prepare('child', 'base', { [SIZE]: '1GiB', [FILE_SYSTEM]: 'xfs' })
      expect(sizeOf(child!.source)).toBe(1024 * MiB)
      const [view] = (await client.ask<{ mounts: { options: string[] }[] }>('view', { key: 'v', parent: 'base' }))
        .mounts
      expect([...view!.options].sort()).toEqual(['nouuid', 'ro'])

      for (const labels of [{ [SIZE]: 'much' }, { [SIZE]: '0' }, { [FILE_SYSTEM]: 'fat' }])
        expect(await codeOf(client.prepare('bad', '', labels))).toBe(status.INVALID_ARGUMENT)
      expect(await codeOf(client.prepare('x', 'plain'))).toBe(status.INVALID_ARGUMENT)
      expect(await codeOf(client.prepare('x', 'nowhere'))).toBe(status.NOT_FOUND)
      expect(await codeOf(client.prepare('plain'))).toBe(status.ALREADY_EXISTS)
      expect(await codeOf(client.ask('stat', { key: 'nowhere' }))).toBe(status.NOT_FOUND)
      expect(await codeOf(client.ask('mounts', { key: 'base' }))).toBe(status.FAILED_PRECONDITION)
      expect(await codeOf(client.ask('commit', { name: 'y', key: 'v' }))).toBe(status.FAILED_PRECONDITION)
      expect(await codeOf(client.ask('commit', { name: 'base', key: 'plain' }))).toBe(status.ALREADY_EXISTS)
      expect(await codeOf(client.ask('remove', { key: 'base' }))).toBe(status.FAILED_PRECONDITION)
      const info = { name: 'plain', labels: {} }
      const update = { info, update_mask: { paths: ['kind'] } }
      expect(await codeOf(client.ask('update', update))).toBe(status.INVALID_ARGUMENT)
      expect(await codeOf(client.list('name~=('))).toBe(status.INVALID_ARGUMENT)
    }),
  PATIENCE_MS,
)

test(
  'List sends batches and applies filters; a socket in use is not replaced; close() waits for calls in flight',
  () =>
    withServer(async (client, server, options) => {
      expect(await client.list()).toEqual([])
      const names = Array.from({ length: 104 }, (_, index) => `layer-${index}`)
      await Promise.all(names.map(name => client.prepare(name, '', { mark: name })))
      const batches = await client.list()
      expect(batches.map(({ length }) => length)).toEqual([100, 4])
      expect(batches.flat().map(({ name }) => name)).toEqual([...names].sort())
      const found = await client.list('labels.mark==layer-7', 'kind==active,name~=/^layer-10[12]$/')
      expect(found.flat().map(({ name }) => name)).toEqual(['layer-101', 'layer-102', 'layer-7'])

      expect(statSync(options.address).mode & 0o777).toBe(0o600)
      await expect(startServer(options)).rejects.toThrow(/another server listens on/)
      const file = scratch.path('file')
      writeFileSync(file, 'kept')
      await expect(startServer({ ...options, address: file })).rejects.toThrow(/is not a socket/)
      expect(readFileSync(file, 'utf8')).toBe('kept')

      const last = Promise.all(['one', 'two', 'three'].map(name => client.prepare(name)))
      await client.ask('stat', { key: 'layer-0' }) // those three have arrived before this one
      server.process.kill('SIGTERM')
      expect((await last).flat()).toHaveLength(3)
      expect(await server.ended).toBe(0)
      expect(existsSync(options.address)).toBe(false)
      expect(server.output).toBe(`listening on ${options.address}\n`)
      expect(
        run('dmsetup', ['ls'])
          .split('\n')
          .filter(line => line.startsWith(`${options.pool}-`)),
      ).toHaveLength(107)
    }),
  PATIENCE_MS,
)

test(
  'a label selects the pool of an image and its containers, and the pools are known after a restart',
  () =>
    withServer(
      async (client, server, options) => {
        const poolOf = ([mount]: { source: string }[]) =>
          readFileSync(`/sys/class/block/${path.basename(mount!.source)}/dm/name`, 'utf8').replace(/-\d+\s*$/, '')
        const fast = `${options.pool}.fast`
        const plain = await client.prepare('plain', '', { [POOL]: 'default' })
        const chosen = await client.prepare('chosen', '', { [POOL]: 'fast' })
        expect([plain, chosen].map(poolOf)).toEqual([options.pool, fast])
        expect(await codeOf(client.prepare('bad', '', { [POOL]: 'slow' }))).toBe(status.INVALID_ARGUMENT)
        // A key is one layer's, whichever pool that is in.
        expect(await codeOf(client.prepare('chosen'))).toBe(status.ALREADY_EXISTS)
        expect(await codeOf(client.prepare('plain', '', { [POOL]: 'fast' }))).toBe(status.ALREADY_EXISTS)
        const both = await Promise.all(
          ['default', 'fast'].map(name => codeOf(client.prepare('x', '', { [POOL]: name }))),
        )
        expect(both.sort()).toEqual([status.ALREADY_EXISTS, undefined])
        await client.ask('remove', { key: 'x' })

        await client.ask('commit', { name: 'image', key: 'chosen', labels: {} })
        expect(await codeOf(client.ask('commit', { name: 'image', key: 'plain' }))).toBe(status.ALREADY_EXISTS)
        expect(poolOf(await client.prepare('container', 'image', { [POOL]: 'default' }))).toBe(fast)
        expect((await client.list()).flat().map(({ name }) => name)).toEqual(['plain', 'container', 'image'])
        expect(await codeOf(client.ask('remove', { key: 'image' }))).toBe(status.FAILED_PRECONDITION)

        expect(await server.end()).toBe(0)
        const again = await startServer({ ...options, more: ['--size', '64MiB'] })
        const later = new SnapshotsClient(options.address)
        try {
          const { mounts } = await later.ask<{ mounts: { source: string }[] }>('mounts', { key: 'container' })
          expect(poolOf(mounts)).toBe(fast)
          for (const key of ['container', 'image']) await later.ask('remove', { key })
          await later.ask('cleanup', {})
          expect((await later.list()).flat().map(({ name }) => name)).toEqual(['plain'])
        } finally {
          later.close()
          await again.end('SIGKILL')
        }
      },
      '--pool',
      'fast',
    ),
  PATIENCE_MS,
)

test(
  'the metrics of all pools are served, with the numbers of dmsetup',
  () =>
    withServer(
      async (client, server) => {
        await client.prepare('plain')
        const [, url] = /^metrics at (http:\S+)$/m.exec(server.output) ?? []
        const text = await (await fetch(url!)).text()
        const pools = [...text.matchAll(/^dm_thin_pool_up\{pool="([^"]+)"\} 1$/gm)].map(([, pool]) => pool!)
        expect(pools).toHaveLength(2)
        for (const pool of pools) {
          const [, , , , , data = ''] = run('dmsetup', ['status', '--noflush', pool]).split(' ')
          expect(text).toContain(`topolvm_thinpool_size_bytes{pool="${pool}"} ${65_536 * Number(data.split('/')[1])}\n`)
        }
        expect(text.match(/^dm_thin_store_layers\{.*$/gm)).toEqual([
          expect.stringMatching(/ 1$/),
          expect.stringMatching(/ 0$/),
        ])
      },
      '--pool',
      'fast',
      '--metrics',
      '127.0.0.1:0',
    ),
  PATIENCE_MS,
)

/** Asks a server for a layer, ends it by a signal, and expects that its socket is gone and the layer is not. */
async function servesUntil(signal: NodeJS.Signals, server: Daemon, address: string): Promise<void> {
  const client = new SnapshotsClient(address)
  try {
    const [mount] = await client.prepare('layer')
    expect(await server.end(signal)).toBe(0)
    expect(existsSync(address)).toBe(false)
    expect(server.output).toBe(`listening on ${address}\n`)
    expect(existsSync(mount!.source)).toBe(true)
  } finally {
    client.close()
    await server.end('SIGKILL')
  }
}

/** What this machine has in the place of what the unit in the docs names. */
const inUnit = (address: string, root: string, loops: readonly string[]): Record<string, string> => ({
  '/usr/bin/node': process.execPath,
  '/opt/dm-thin/node_modules/dm-thin/dist/cli/main.js': MAIN,
  '/run/dm-thin/snapshotter.sock': address,
  '/var/lib/dm-thin': root,
  '/dev/vg/thin-data': loops[0]!,
  '/dev/vg/thin-metadata': loops[1]!,
  '20GiB': '64MiB',
})

/** The devices for the data and the metadata of a pool. */
const loopDevices = (name: string): string[] =>
  ['512M', '16M'].map((size, at) => {
    run('truncate', ['-s', size, scratch.path(`${name}-${at}`)])
    return run('losetup', ['--find', '--show', scratch.path(`${name}-${at}`)]).trim()
  })

test(
  'the command line of the systemd unit in the docs serves from block devices until SIGINT',
  async () => {
    const page = readFileSync(path.join(__dirname, '../../docs/containerd.md'), 'utf8')
    const [, command] = /^ExecStart=((?:.*\\\n)*.*)$/m.exec(page)!
    const [address, root, pool] = [scratch.path('unit.sock'), scratch.path('unit'), scratch.name('unit')]
    const loops = loopDevices('device')
    const here = inUnit(address, root, loops)
    const words = command!.replaceAll('\\\n', ' ').split(/ +/)
    expect(words).toEqual(expect.arrayContaining(Object.keys(here)))
    const [node, ...program] = words.map(word => here[word] ?? word)
    expect(node).toBe(process.execPath)
    try {
      const server = await untilListening(address, [...program, '--pool-name', pool])
      await servesUntil('SIGINT', server, address)
    } finally {
      await removePool(pool)
      for (const loop of loops) run('losetup', ['--detach', loop])
    }
  },
  PATIENCE_MS,
)

test(
  'the systemd unit in the docs serves from the start of the machine, and again after the snapshotter was killed',
  async () => {
    const [address, root, pool] = [scratch.path('boot.sock'), scratch.path('boot'), scratch.name('boot')]
    const loops = loopDevices('boot')
    const unit = unitOf('containerd.md', 'dm-thin-snapshotter.service', {
      ...inUnit(address, root, loops),
      ' containers ': ` ${pool} `,
      'multi-user.target': 'local-fs.target', // the other has much that these tests do not need
    })
    const name = 'dm-thin-snapshotter.service'
    const client = new SnapshotsClient(address)
    const prepared = async (key: string): Promise<void> => {
      for (;;) {
        const code = await codeOf(client.prepare(key))
        if (code !== status.UNAVAILABLE) return expect(code).toBeUndefined()
        await new Promise(done => setTimeout(done, 100))
      }
    }
    try {
      const folder = writeUnits(scratch.path('boot-units'), { [name]: unit })
      await using first = await Systemd.boot(folder, 'local-fs.target')
      await first.enable(name)
      await prepared('layer')
      first.systemctl('kill', '--signal=SIGKILL', name)
      await prepared('after-kill')
      await first.powerOff()
      await using second = await Systemd.boot(folder, 'local-fs.target')
      await prepared('after-boot')
      const names = (await client.list()).flat().map(({ name: key }) => key)
      expect(names.sort()).toEqual(['after-boot', 'after-kill', 'layer'])
      await second.powerOff()
    } finally {
      client.close()
      await removePool(pool)
      for (const loop of loops) run('losetup', ['--detach', loop])
    }
  },
  PATIENCE_MS,
)

test(
  'the example program around startSnapshotter serves until SIGTERM',
  async () => {
    const program = path.join(__dirname, '../../dist-examples/containerd-snapshotter/containerd-snapshotter.mjs')
    const [address, root] = [scratch.path('example.sock'), scratch.path('example')]
    const pool = scratch.name('example')
    // The example takes the store as it finds it: with a small pool, whose name the tests know.
    const files = ['--pool-data', scratch.path('example.data'), '--pool-metadata', scratch.path('example.metadata')]
    const sizes = ['--pool-data-size', '512MiB', '--pool-metadata-size', '16MiB']
    expect(dmThin('layer', 'create', root, '--pool-name', pool, ...files, ...sizes).status).toBe(0)
    try {
      await servesUntil('SIGTERM', await untilListening(address, [program, address, root]), address)
    } finally {
      await removePool(pool)
    }
  },
  PATIENCE_MS,
)
