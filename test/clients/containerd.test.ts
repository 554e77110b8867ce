// containerd with the example's server as its snapshotter: images, containers, many at once, and a server that is
// started anew below them.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import {
  ctr,
  diffOf,
  mappedMounts,
  runs,
  SNAPSHOTTER,
  snapshots,
  volumesOfPool,
  withStack,
  type Stack,
} from '../helpers/containerd/containerd.js'
import { makeImage } from '../helpers/store/oci-image.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { PATIENCE_MS, startServer, unpacked } from '../helpers/containerd/snapshotter.js'
import { Daemon } from '../helpers/process/daemon.js'
import { SnapshotsClient } from '../helpers/containerd/snapshots-client.js'
import { run } from '../helpers/process/spawned.js'

const scratch = useScratch()
const IMAGE = 'docker.io/library/small:1'
const LAYERS = [
  { 'etc/lower': 'lower\n', 'etc/gone': 'gone\n' },
  { 'etc/upper': 'upper\n', 'etc/gone': null },
]

async function importImage(stack: Stack): Promise<void> {
  const archive = scratch.path('image.tar')
  const busybox = unpacked('/usr/bin/busybox')
  makeImage({ folder: scratch.path('image'), name: IMAGE, busybox, layers: LAYERS, archive })
  await ctr(stack, 'images', 'import', '--snapshotter', SNAPSHOTTER, archive)
}

/** The folder that a container shares with the test, as the container sees it. */
const SHARED = '/run/shared'

const sharedWith = (stack: Stack, name: string): string => path.join(stack.folder, `shared-${name}`)

/** Runs a script in a new container: to its end, or detached. What it prints goes to the file `output` of SHARED. */
async function start(stack: Stack, name: string, script: string, ...options: string[]): Promise<void> {
  mkdirSync(sharedWith(stack, name))
  const shared = ['--mount', `type=bind,src=${sharedWith(stack, name)},dst=${SHARED},options=rbind:rw`]
  const command = ['/bin/sh', '-c', `exec > ${SHARED}/output 2>&1; ${script}`]
  await ctr(stack, 'run', '--snapshotter', SNAPSHOTTER, '--null-io', ...shared, ...options, IMAGE, name, ...command)
}

/**
 * Returns what a container has printed. containerd's own relay is not used: on a busy machine it lost the end of the
 * output of one container in fifty, containerd 1 and 2 alike, and also with its snapshotter `native`.
 */
const outputOf = (stack: Stack, name: string): string =>
  readFileSync(path.join(sharedWith(stack, name), 'output'), 'utf8')

/**
 * Removes the image and what has it as parent, from the top down. Removing the image sets off containerd's garbage
 * collection, which may take a snapshot between the list and its removal: then it is gone, which is what is wanted.
 */
async function removeAll(stack: Stack): Promise<void> {
  await ctr(stack, 'images', 'rm', '--sync', IMAGE)
  for (let left = await snapshots(stack); left.length > 0; left = await snapshots(stack)) {
    const tops = left.filter(({ key }) => left.every(({ parent }) => parent !== key)).map(({ key }) => key)
    for (const key of tops) {
      await ctr(stack, 'snapshots', '--snapshotter', SNAPSHOTTER, 'rm', key).catch((fault: Error) => {
        if (!/not found/.test(fault.message)) throw fault
      })
    }
  }
}

test.each([1, 2] as const)(
  'containerd %d imports an image, runs it, commits a change, runs that, and removes all of it',
  version =>
    withStack(
      scratch,
      async stack => {
        expect(await ctr(stack, 'version')).toMatch(new RegExp(`Server:\\s+Version:\\s+v?${version}\\.`))
        expect(await ctr(stack, 'plugins', 'ls')).toMatch(/io\.containerd\.snapshotter\.v1\s+dm-thin\s+\S+\s+ok/)
        await importImage(stack)
        const layers = await snapshots(stack)
        expect(layers.map(({ kind }) => kind)).toEqual(['Committed', 'Committed'])
        const [top] = layers.filter(({ key }) => layers.every(({ parent }) => parent !== key))
        expect(layers.map(({ key }) => key)).toContain(top!.parent)

        await start(stack, 'first', 'cat /etc/lower /etc/upper; ls -d /etc/*; echo own > /etc/own; sync')
        expect(outputOf(stack, 'first')).toBe('lower\nupper\n/etc/lower\n/etc/upper\n')
        expect(mappedMounts()).toEqual([])
        const usage = await ctr(stack, 'snapshots', '--snapshotter', SNAPSHOTTER, 'usage', 'first')
        expect(usage).toMatch(/first\s+\d+(\.\d+)? [KM]iB\s+\d+/)
        expect(await diffOf(stack, 'first')).toContain('etc/own')

        await ctr(stack, 'snapshots', '--snapshotter', SNAPSHOTTER, 'commit', 'changed', 'first')
        await ctr(stack, 'containers', 'rm', 'first')
        // In the layer as it was committed, seen through the mount that the client is told to make.
        const place = scratch.path(scratch.name('look'))
        mkdirSync(place)
        // ctr gives a view nothing that keeps it from containerd's garbage collection, which the removals above set off.
        const keep = `containerd.io/gc.ref.snapshot.${SNAPSHOTTER}=look`
        await ctr(stack, 'snapshots', '--snapshotter', SNAPSHOTTER, 'label', 'changed', keep)
        await ctr(stack, 'snapshots', '--snapshotter', SNAPSHOTTER, 'view', 'look', 'changed')
        run('sh', ['-c', await ctr(stack, 'snapshots', '--snapshotter', SNAPSHOTTER, 'mounts', place, 'look')])
        expect(readFileSync(path.join(place, 'etc/own'), 'utf8')).toBe('own\n')
        expect(() => writeFileSync(path.join(place, 'etc/own'), '')).toThrow(/EROFS/)
        run('umount', [place])
        await ctr(stack, 'snapshots', '--snapshotter', SNAPSHOTTER, 'rm', 'look')
        await removeAll(stack)
      },
      { version },
    ),
  PATIENCE_MS,
)

test(
  'a container keeps running while the server is killed and started again',
  () =>
    withStack(
      scratch,
      async stack => {
        await importImage(stack)
        await start(stack, 'lasting', 'echo before > /kept; sleep 100000', '--detach')
        expect(await stack.serving.end('SIGKILL')).toBeNull()
        const inLasting = ['tasks', 'exec', '--exec-id', 'while-away', 'lasting', '/bin/sh', '-c']
        await ctr(
          stack,
          ...inLasting,
          `until [ -s /kept ]; do sleep 0.1; done; echo during >> /kept; cat /kept > ${SHARED}/output`,
        )
        expect(outputOf(stack, 'lasting')).toBe('before\nduring\n')

        // The socket of the killed one is still there, and the devices of the pool are in the records.
        stack.serving = await startServer(stack.server)
        expect(await runs(stack, 'lasting')).toBe(true)
        await start(stack, 'later', 'cat /etc/upper', '--rm')
        expect(outputOf(stack, 'later')).toBe('upper\n')
        await ctr(stack, 'tasks', 'exec', '--exec-id', 'more', 'lasting', '/bin/sh', '-c', 'echo after >> /kept')
        await ctr(stack, 'tasks', 'rm', '--force', 'lasting')
        expect(await diffOf(stack, 'lasting')).toContain('before\nduring\nafter\n')
        await ctr(stack, 'containers', 'rm', 'lasting')
        await removeAll(stack)
      },
      { onDevices: true },
    ),
  PATIENCE_MS,
)

const MANY = 50

/** A process in namespaces of its own on a root file system of its own: a container, without a program in Go each. */
const CONTAIN =
  'mount -t "$1" "$2" "$3" && exec chroot "$3" /bin/sh -c "echo $4 > /own; cat /own /etc/upper; exec sleep 100000"'

test(
  `${MANY} containers start concurrently, then some by runc; each has its own files, and nothing is left behind`,
  () =>
    withStack(scratch, async stack => {
      await importImage(stack)
      const layers = await snapshots(stack)
      const top = layers.find(({ key }) => layers.every(({ parent }) => parent !== key))!.key
      const names = Array.from({ length: MANY }, (_, index) => `many-${index}`)
      const client = new SnapshotsClient(stack.socket)
      const place = scratch.path('many')
      mkdirSync(place)
      const containers = await Promise.all(
        names.map(async name => {
          const [mount] = await client.prepare(name, top)
          const script = ['sh', '-c', CONTAIN, 'contain', mount!.type, mount!.source, place, name]
          const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private']
          const container = new Daemon('unshare', [...namespaces, ...script])
          await container.until('it had read its files', () => container.output.endsWith('upper\n'))
          return { container, device: mount!.source }
        }),
      )
      expect(containers.map(({ container }) => container.output)).toEqual(names.map(name => `${name}\nupper\n`))
      expect(new Set(containers.map(({ device }) => device)).size).toBe(MANY)
      expect(volumesOfPool(stack.server.pool)).toHaveLength(MANY)
      // The layers go at once, while the kernel may not have ended their mounts yet.
      await Promise.all(
        containers.map(async ({ container }, index) => {
          await container.end('SIGKILL')
          await client.ask('remove', { key: names[index]! })
        }),
      )
      client.close()

      const few = ['a', 'b', 'c', 'd']
      await Promise.all(few.map(name => start(stack, name, `echo ${name} > /own; cat /own`, '--rm')))
      expect(few.map(name => outputOf(stack, name))).toEqual(few.map(name => `${name}\n`))
      await removeAll(stack)
    }),
  PATIENCE_MS,
)
