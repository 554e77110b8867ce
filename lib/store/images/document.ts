// The documents of images, by their public specifications: what is read of them, and no more is believed than is checked.
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

/** The part of an image's configuration that layers need; the rest is passed on as it is. */
export interface ImageConfig {
  readonly architecture?: string
  readonly os?: string
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly string[] }
  readonly [name: string]: unknown
}

/** An image in an archive or a layout: its configuration, and where its layers are, from the lowest. */
export interface FoundImage {
  /** Its name, where it has one. */
  readonly name: string | undefined
  /** Of the manifest, or of the configuration where there is none (`docker save` of before OCI). */
  readonly digest: string
  readonly config: ImageConfig
  readonly layers: readonly FoundLayer[]
}

export interface FoundLayer {
  /** Where its bytes are. */
  readonly path: string
  /** Of those bytes; undefined where only what is in them is known. */
  readonly digest: string | undefined
  /** Of the archive, uncompressed. */
  readonly diffId: string
}

export const damaged = (what: string, why: string): DmThinError =>
  new DmThinError('DM_IMAGE', `image: ${what}: ${why}`, { device: what })

export function checkedDigest(what: string, value: unknown): string {
  if (isDigest(value)) return value
  throw damaged(what, `${shown(value)} is no digest of the form "sha256:" and 64 hexadecimal digits`)
}

/** The path of a blob in an OCI layout. */
export const blobPath = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`

/** The name of a layer with all below it: the specification's chain id. */
export function chainId(below: string | undefined, diffId: string): string {
  return below === undefined ? diffId : digestOf(Buffer.from(`${below} ${diffId}`))
}

export function parsed(what: string, bytes: Buffer): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw damaged(what, `no JSON: ${(cause as Error).message}`)
  }
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  throw damaged(what, `${shown(value)} is no document`)
}

export function descriptorOf(what: string, value: unknown): Descriptor {
  if (typeof value !== 'object' || value === null) throw damaged(what, `${shown(value)} is no descriptor`)
  const { digest, size } = value as Partial<Descriptor>
  checkedDigest(what, digest)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw damaged(what, `its size is ${shown(size)}`)
  return value as Descriptor
}

export function descriptorsOf(what: string, value: unknown): Descriptor[] {
  if (!Array.isArray(value)) throw damaged(what, `${shown(value)} is no list`)
  return value.map(each => descriptorOf(what, each))
}

export function configOf(what: string, bytes: Buffer): ImageConfig {
  const config = parsed(what, bytes) as Partial<ImageConfig>
  const ids: unknown = config.rootfs?.diff_ids
  if (!Array.isArray(ids)) throw damaged(what, 'it lists no layers (rootfs.diff_ids)')
  ids.forEach(id => checkedDigest(what, id))
  return config as ImageConfig
}
