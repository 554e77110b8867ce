// The documents of images, by their public specifications. They are untrusted input: each field that is used is checked.
import { DmThinError } from '../../base/errors.js'
import { shown } from '../../base/options.js'
import { digestOf, isDigest } from '../common/digest.js'

export interface Descriptor {
  readonly mediaType?: string
  readonly digest: string
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: { readonly os?: string; readonly architecture?: string; readonly variant?: string }
}

/** The configuration of an image. Layers need these fields; the others are passed on unchanged. */
export interface ImageConfig {
  /** The architecture of the image's programs, by Go's name: `amd64`, `arm64` … */
  readonly architecture?: string
  /** The operating system of the image's programs, by Go's name: `linux`. */
  readonly os?: string
  /** The layers of the image. */
  readonly rootfs: {
    /** Always `layers`. */
    readonly type: 'layers'
    /**
     * The digests of the uncompressed archives of the layers, from the lowest: `sha256:` and 64 hexadecimal digits.
     */
    readonly diff_ids: readonly string[]
  }
  readonly [name: string]: unknown
}

/** An image in an archive or a layout: its configuration, and the location of its layers, from the lowest. */
export interface FoundImage {
  /** The name of the image, if it has one. */
  readonly name: string | undefined
  /** The digest of the manifest, or of the configuration if there is no manifest (`docker save` before OCI). */
  readonly digest: string
  readonly config: ImageConfig
  readonly layers: readonly FoundLayer[]
}

export interface FoundLayer {
  /** The name of the file with the bytes of the layer. */
  readonly path: string
  /** The digest of these bytes; undefined if only `diffId` is known. */
  readonly digest: string | undefined
  /** The digest of the uncompressed archive. */
  readonly diffId: string
}

export const damaged = (what: string, why: string): DmThinError =>
  new DmThinError('DM_IMAGE', `image: ${what}: ${why}`, { device: what })

export function checkedDigest(what: string, value: unknown): string {
  if (isDigest(value)) return value
  throw damaged(what, `${shown(value)} is not a digest of the form "sha256:" and 64 hexadecimal digits`)
}

/** Returns the path of a blob in an OCI layout. */
export const blobPath = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`

/** Returns the chain id of the OCI specification, which identifies a layer together with its ancestors. */
export function chainId(below: string | undefined, diffId: string): string {
  return below === undefined ? diffId : digestOf(Buffer.from(`${below} ${diffId}`))
}

export function parsed(what: string, bytes: Buffer): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw damaged(what, `invalid JSON: ${(cause as Error).message}`)
  }
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  throw damaged(what, `${shown(value)} is not an object`)
}

export function descriptorOf(what: string, value: unknown): Descriptor {
  if (typeof value !== 'object' || value === null) throw damaged(what, `${shown(value)} is not a descriptor`)
  const { digest, size } = value as Partial<Descriptor>
  checkedDigest(what, digest)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw damaged(what, `its size is ${shown(size)}`)
  return value as Descriptor
}

export function descriptorsOf(what: string, value: unknown): Descriptor[] {
  if (!Array.isArray(value)) throw damaged(what, `${shown(value)} is not a list`)
  return value.map(each => descriptorOf(what, each))
}

export function configOf(what: string, bytes: Buffer): ImageConfig {
  const config = parsed(what, bytes) as Partial<ImageConfig>
  const ids: unknown = config.rootfs?.diff_ids
  if (!Array.isArray(ids)) throw damaged(what, 'it lists no layers (rootfs.diff_ids)')
  ids.forEach(id => checkedDigest(what, id))
  return config as ImageConfig
}
