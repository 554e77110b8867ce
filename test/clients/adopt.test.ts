// A pool of containerd's own snapshotter for device mapper, read by this library: the real one wrote the records.
// @second-kernel
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { AdoptedStore, diffTar, LayerStore } from '../../lib/entry/store.js'
import { GiB, MiB, ThinPool } from '../../lib/entry/index.js'
import { ctr, mappedMounts, mountCgroups } from '../helpers/containerd/containerd.js'
import { isForContainerd, programs, writePrograms } from '../helpers/docs/code.js'
import { expectCode } from '../helpers/errors/expect-code.js'
import { makeImage } from '../helpers/store/oci-image.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { clientEnvironment, PATIENCE_MS, unpacked } from '../helpers/containerd/snapshotter.js'
import { Daemon } from '../helpers/process/daemon.js'
import { run, tryRun } from '../helpers/process/spawned.js'
import { thinCheck } from '../helpers/kernel/dmsetup.js'

const scratch = useScratch()
const IMAGE = 'docker.io/library/small:1'
const DEVMAPPER = ['--snapshotter', 'devmapper']

const configuration = (folder: string, socket: string, pool: string): string => `
version = 2
root = "${folder}/containerd"
state = "${folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
  address = "${socket}"

[plugins."io.containerd.snapshotter.v1.devmapper"]
  pool_name = "${pool}"
  base_image_size = "64MB"
`

/** Runs the programs of a page that read a pool of containerd, in the place where they look for it. */
async function runPrograms(directory: string): Promise<void> {
  const place = '/var/lib/containerd/io.containerd.snapshotter.v1.devmapper'
  mkdirSync(path.dirname(place), { recursive: true })
  symlinkSync(directory, place)
  try {
    const blocks = programs('docs/store.md').filter(isForContainerd)
    const files = writePrograms(blocks, path.join(__dirname, '../../.cache/docs-code/clients'))
    expect(files).toHaveLength(2)
    for (const file of files) expect(tryRun(process.execPath, [file])).toMatchObject({ status: 0, stderr: '' })
    const copied = await LayerStore.open({ directory: '/var/lib/layers' })
    expect((await copied.status()).layers).toBe(1)
    await copied.takeDown()
  } finally {
    rmSync(place)
    rmSync('/var/lib/layers', { recursive: true, force: true })
  }
}

test(
  'a pool of containerd’s devmapper snapshotter is listed, read and copied into a store while containerd runs',
  async () => {
    mountCgroups()
    const poolName = scratch.name('theirs')
    const folder = scratch.path(poolName)
    mkdirSync(folder)
    const file = (name: string, sizeBytes: number) => ({ file: path.join(folder, name), sizeBytes })
    const metadata = file('metadata', 16 * MiB)
    // containerd looks for the pool there, and its dmsetup for no udev.
    const data = file('data', 4 * GiB)
    const pool = await ThinPool.create({ name: poolName, data, metadata, mapperLinks: true })
    const environment = clientEnvironment({ DM_DISABLE_UDEV: '1' })
    const socket = path.join(folder, 'containerd.sock')
    const config = path.join(folder, 'containerd.toml')
    writeFileSync(config, configuration(folder, socket, poolName))
    const containerd = new Daemon(unpacked('/usr/bin/containerd'), ['--config', config], environment)
    const directory = path.join(folder, 'containerd/io.containerd.snapshotter.v1.devmapper')
    const stack = { socket }
    try {
      await containerd.until('it made its socket', () => existsSync(socket))
      const archive = scratch.path('image.tar')
      const layers = [
        { 'etc/lower': 'lower\n', 'etc/gone': 'gone\n' },
        { 'etc/upper': 'upper\n', 'etc/gone': null },
      ]
      const busybox = unpacked('/usr/bin/busybox')
      makeImage({ folder: scratch.path('image'), name: IMAGE, busybox, layers, archive })
      await ctr(stack, 'images', 'import', ...DEVMAPPER, archive)
      await ctr(stack, 'run', ...DEVMAPPER, '--detach', IMAGE, 'box', '/bin/sh', '-c', 'echo own > /own; sleep 100000')
      const devices = run('dmsetup', ['ls'])
      await runPrograms(directory)
      expect(run('dmsetup', ['ls'])).toBe(devices)

      const adopted = await AdoptedStore.open({ directory })
      expect([adopted.program, adopted.poolName]).toEqual(['containerd', poolName])
      const found = await adopted.contents()
      expect(found.unrecorded).toEqual([])
      expect(found.layers.map(({ kind, state }) => [kind, state])).toEqual([
        ['committed', 'whole'],
        ['committed', 'whole'],
        ['active', 'whole'],
      ])
      const [lower, upper, box] = found.layers
      // Inside, its names have the namespace and a number before them.
      const outside = (key: string) => key.split('/').slice(2).join('/')
      const rows = (await ctr(stack, 'snapshots', ...DEVMAPPER, 'ls')).trim().split('\n').slice(1)
      const words = rows.map(row => row.trim().split(/\s+/))
      expect(words.map(row => row[0]).sort()).toEqual(found.layers.map(({ key }) => outside(key)).sort())
      expect([lower!.parent, upper!.parent, box!.parent]).toEqual(['', lower!.key, upper!.key])
      for (const { sizeBytes, exclusiveBytes, sharedBytes } of found.layers) {
        expect(sizeBytes).toBe(64 * MiB)
        expect(exclusiveBytes + sharedBytes).toBeGreaterThan(0)
      }

      await adopted.withMounted(upper!.key, async root => {
        expect(readdirSync(path.join(root, 'etc')).sort()).toEqual(['lower', 'upper'])
        expect(() => writeFileSync(path.join(root, 'etc/new'), '')).toThrow(/EROFS/)
      })
      await expectCode(
        adopted.withMounted(box!.key, async () => {}),
        'DM_LAYER_STATE',
      )
      await expectCode(
        adopted.withMounted('nobody', async () => {}),
        'DM_LAYER_NOT_FOUND',
      )
      const why = new Error('enough')
      await expect(adopted.withMounted(lower!.key, () => Promise.reject(why))).rejects.toBe(why)
      expect(run('dmsetup', ['ls'])).toBe(devices)

      const ours = await LayerStore.open({ directory: scratch.path('ours'), sizeBytes: 64 * MiB })
      await ours.prepare('first')
      await adopted.withMounted(lower!.key, root => ours.applyLayer('first', diffTar(undefined, root)))
      await ours.commit('lower', 'first')
      await ours.prepare('second', 'lower')
      await adopted.withMounted(lower!.key, below =>
        adopted.withMounted(upper!.key, root => ours.applyLayer('second', diffTar(below, root))),
      )
      const said: string[] = []
      for await (const { kind, path: where } of ours.changes('lower', 'second')) said.push(`${kind} ${where}`)
      expect(said).toEqual(['C /etc', 'D /etc/gone', 'A /etc/upper'])
      await ours.withMounted('second', async root =>
        expect(readFileSync(path.join(root, 'etc/upper'), 'utf8')).toBe('upper\n'),
      )
      await ours.takeDown()

      await adopted.close()
      await expectCode(adopted.contents(), 'DM_CLOSED')
      expect(run('dmsetup', ['ls'])).toBe(devices)
      await ctr(stack, 'tasks', 'rm', '--force', 'box')
      await ctr(stack, 'containers', 'rm', 'box')
      expect(await containerd.end()).toBe(0)
    } catch (fault) {
      process.stderr.write(`containerd said:\n${containerd.output}\n`)
      await ctr(stack, 'tasks', 'rm', '--force', 'box').catch(() => {})
      throw fault
    } finally {
      await containerd.end('SIGKILL')
      await pool.remove({ deactivate: true })
    }
    expect(mappedMounts()).toEqual([])
    thinCheck(metadata.file)
  },
  PATIENCE_MS,
)
