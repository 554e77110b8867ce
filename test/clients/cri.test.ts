// The kubelet's half of containerd: an image is pulled from a registry on the loopback interface.
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { ctr, SNAPSHOTTER, snapshots, withStack } from '../helpers/containerd/containerd.js'
import { makeImage } from '../helpers/store/oci-image.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { clientEnvironment, PATIENCE_MS, unpacked } from '../helpers/containerd/snapshotter.js'
import { Daemon } from '../helpers/process/daemon.js'

const scratch = useScratch()
const PORT = 5000
const IMAGE = `127.0.0.1:${PORT}/pulled:1`
const SNAPSHOT_REF = 'containerd.io/snapshot.ref'

const listens = (): Promise<boolean> =>
  new Promise(done => {
    const socket = connect(PORT, '127.0.0.1')
    socket.on('connect', () => done(true)).on('error', () => done(false))
    socket.on('connect', () => socket.destroy())
  })

type Call = (request: object, done: (error: Error | null, answer?: unknown) => void) => void

function imageService(socket: string): { ask<T>(call: string, request: object): Promise<T>; close(): void } {
  const definition = loadSync(path.join(__dirname, 'cri.proto'), { keepCase: true, longs: Number, defaults: true })
  const loaded = loadPackageDefinition(definition) as unknown as {
    runtime: { v1: { ImageService: ServiceClientConstructor } }
  }
  const client = new loaded.runtime.v1.ImageService(`unix:${socket}`, credentials.createInsecure())
  return {
    ask: <T>(call: string, request: object) =>
      new Promise<T>((done, fail) => {
        const method = (client as unknown as Record<string, Call>)[call]!
        method.call(client, request, (error, answer) => (error ? fail(error) : done(answer as T)))
      }),
    close: () => client.close(),
  }
}

test.each([1, 2] as const)(
  'the CRI of containerd %d pulls an image with labels that name its layers, and removes it',
  version =>
    withStack(
      scratch,
      async stack => {
        const at = (name: string) => path.join(stack.folder, name)
        const archive = at('image.tar')
        const layers = [{ 'etc/lower': 'lower\n' }, { 'etc/upper': 'upper\n' }]
        makeImage({ folder: at('image'), name: IMAGE, busybox: unpacked('/usr/bin/busybox'), layers, archive })
        const settings = ['version: 0.1', 'storage:', '  filesystem:', `    rootdirectory: ${at('registry')}`]
        writeFileSync(at('registry.yml'), [...settings, 'http:', `  addr: 127.0.0.1:${PORT}`, ''].join('\n'))
        const registry = new Daemon(
          unpacked('/usr/bin/docker-registry'),
          ['serve', at('registry.yml')],
          clientEnvironment(),
        )
        const images = imageService(stack.socket)
        try {
          await registry.until('it listened', listens)
          await ctr(stack, 'images', 'import', '--no-unpack', archive)
          await ctr(stack, 'images', 'push', '--local', '--plain-http', IMAGE)

          const { image_ref } = await images.ask<{ image_ref: string }>('PullImage', { image: { image: IMAGE } })
          expect(image_ref).toMatch(/^sha256:|@sha256:/)
          const pulled = await snapshots(stack, 'k8s.io')
          expect(pulled.map(({ kind }) => kind)).toEqual(['Committed', 'Committed'])
          const args = ['--namespace', 'k8s.io', 'snapshots', '--snapshotter', SNAPSHOTTER, 'info']
          for (const { key } of pulled) {
            const info = JSON.parse(await ctr(stack, ...args, key)) as { Labels: Record<string, string> }
            expect(info.Labels[SNAPSHOT_REF]).toBe(key)
          }
          await images.ask('RemoveImage', { image: { image: IMAGE } })
          for (let left = pulled; left.length > 0; left = await snapshots(stack, 'k8s.io'))
            await new Promise(done => setTimeout(done, 500))
        } catch (fault) {
          process.stderr.write(`the registry said:\n${registry.output}\n`)
          throw fault
        } finally {
          images.close()
          await registry.end('SIGKILL')
        }
      },
      { version },
    ),
  PATIENCE_MS,
)
