// A small image made here: busybox and some files, as an archive in the OCI's layout that containerd and Docker load.
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { run } from '../process/spawned.js'

const MEDIA = 'application/vnd.oci.image'
const APPLETS = ['sh', 'cat', 'ls', 'sleep', 'echo', 'dd', 'rm', 'mkdir', 'sync', 'true']

export interface ImageOptions {
  /** For its files while it is made; emptied before and removed after. */
  readonly folder: string
  /** `docker.io/library/small:1`: Docker wants the whole of it. */
  readonly name: string
  /** A static busybox. */
  readonly busybox: string
  /** A layer each: path to content; null removes what a lower layer has. The lowest layer has busybox besides. */
  readonly layers: readonly Readonly<Record<string, string | null>>[]
  /** Where the archive goes. */
  readonly archive: string
}

interface Blob {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

export function makeImage({ folder, name, busybox, layers, archive }: ImageOptions): void {
  rmSync(folder, { recursive: true, force: true })
  const layout = path.join(folder, 'layout')
  mkdirSync(path.join(layout, 'blobs/sha256'), { recursive: true })
  const blob = (mediaType: string, content: Buffer | string): Blob => {
    const hash = createHash('sha256').update(content).digest('hex')
    writeFileSync(path.join(layout, 'blobs/sha256', hash), content)
    return { mediaType, digest: `sha256:${hash}`, size: Buffer.byteLength(content) }
  }
  const json = (mediaType: string, content: object): Blob => blob(mediaType, JSON.stringify(content))
  const packed = layers.map((files, index) => {
    const tree = path.join(folder, `layer-${index}`)
    mkdirSync(tree)
    if (index === 0) addBusybox(tree, busybox)
    for (const [file, content] of Object.entries(files)) {
      const place = path.join(tree, path.dirname(file))
      mkdirSync(place, { recursive: true })
      const whiteout = `.wh.${path.basename(file)}`
      writeFileSync(path.join(place, content === null ? whiteout : path.basename(file)), content ?? '')
    }
    const tar = path.join(folder, `layer-${index}.tar`)
    run('tar', ['-C', tree, '--owner=0', '--group=0', '--numeric-owner', '--sort=name', '--mtime=@0', '-cf', tar, '.'])
    return blob(`${MEDIA}.layer.v1.tar`, readFileSync(tar))
  })
  const config = json(`${MEDIA}.config.v1+json`, {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Env: ['PATH=/bin'], Cmd: ['/bin/sh'] },
    rootfs: { type: 'layers', diff_ids: packed.map(({ digest }) => digest) },
  })
  const mediaType = `${MEDIA}.manifest.v1+json`
  const manifest = json(mediaType, { schemaVersion: 2, mediaType, config, layers: packed })
  const tag = name.slice(name.lastIndexOf(':') + 1)
  const annotations = { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': tag }
  const index = { schemaVersion: 2, mediaType: `${MEDIA}.index.v1+json`, manifests: [{ ...manifest, annotations }] }
  writeFileSync(path.join(layout, 'index.json'), JSON.stringify(index))
  writeFileSync(path.join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  run('tar', ['-C', layout, '-cf', archive, 'oci-layout', 'index.json', 'blobs'])
  rmSync(folder, { recursive: true })
}

function addBusybox(tree: string, busybox: string): void {
  for (const name of ['bin', 'proc', 'sys', 'dev', 'tmp', 'etc']) mkdirSync(path.join(tree, name))
  copyFileSync(busybox, path.join(tree, 'bin/busybox'))
  for (const applet of APPLETS) symlinkSync('busybox', path.join(tree, 'bin', applet))
}
