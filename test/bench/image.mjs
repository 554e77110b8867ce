// An image to import: an OCI layout whose layers are compressed with gzip, as those in registries are.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { writeArchive } from './archive.mjs'
import { range } from './plan.mjs'

const OCI = 'application/vnd.oci.image'

/**
 * `count` layers of `files` files each, no two of one name.
 * @returns {string[]} the paths of the compressed layers, lowest first
 */
export function writeImage(directory, { count, files, least, most }) {
  const blobs = join(directory, 'blobs/sha256')
  mkdirSync(blobs, { recursive: true })
  const put = (mediaType, bytes) => {
    const digest = sha256(bytes)
    writeFileSync(join(blobs, digest), bytes)
    return { mediaType: `${OCI}.${mediaType}`, digest: `sha256:${digest}`, size: bytes.length }
  }
  const json = (mediaType, value) => put(mediaType, Buffer.from(JSON.stringify(value)))

  const layers = range(count).map(index => {
    const archive = join(directory, 'layer.tar')
    writeArchive(archive, { files, least, most, from: index * files })
    const bytes = readFileSync(archive)
    rmSync(archive)
    return { diffId: `sha256:${sha256(bytes)}`, blob: put('layer.v1.tar+gzip', gzipSync(bytes)) }
  })
  const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) }
  const config = json('config.v1+json', { architecture: 'amd64', os: 'linux', rootfs })
  const manifest = { schemaVersion: 2, mediaType: `${OCI}.manifest.v1+json` }
  const manifests = [json('manifest.v1+json', { ...manifest, config, layers: layers.map(({ blob }) => blob) })]
  writeFileSync(join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  writeFileSync(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
  return layers.map(({ blob }) => join(blobs, blob.digest.slice('sha256:'.length)))
}

const sha256 = bytes => createHash('sha256').update(bytes).digest('hex')
