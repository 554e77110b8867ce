// Selection of the image in an OCI layout or in an archive of `docker save`, and the location of its parts.
import { arch } from 'node:process'
import { digestOf } from '../common/digest.js'
import type { Contents } from './contents.js'
import {
  blobPath,
  checkedDigest,
  configOf,
  damaged,
  descriptorOf,
  descriptorsOf,
  parsed,
  type Descriptor,
  type FoundImage,
} from './document.js'

export interface Wanted {
  /** The name of the image; undefined: the only image. */
  readonly name: string | undefined
  /** The platform, such as `linux/amd64`; undefined: that of this machine. */
  readonly platform: string | undefined
}

const NAMES = ['io.containerd.image.name', 'org.opencontainers.image.ref.name']
/** The limit for nested indexes. Usual are one for all names and one for all platforms. */
const DEEPEST = 4

export async function findImage(contents: Contents, wanted: Wanted): Promise<FoundImage> {
  if (contents.has('index.json')) return fromLayout(contents, wanted)
  if (contents.has('manifest.json')) return fromDocker(contents, wanted)
  throw damaged('image', 'it has neither an index.json (OCI) nor a manifest.json (docker save)')
}

async function fromLayout(contents: Contents, wanted: Wanted): Promise<FoundImage> {
  const index = parsed('index.json', await contents.document('index.json'))
  refuseBoth('index.json', index)
  const all = descriptorsOf('index.json', index['manifests'])
  const named = wanted.name === undefined ? all : all.filter(each => namesOf(each).includes(wanted.name!))
  const first = one('index.json', named, all.flatMap(namesOf), wanted.name)
  const descriptor = await forPlatform(contents, first, wanted.platform ?? ownPlatform(), DEEPEST)
  const path = blobPath(descriptor.digest)
  const manifest = parsed(path, await contents.document(path, descriptor.digest))
  const configAt = descriptorOf(path, manifest['config'])
  const config = configOf(
    blobPath(configAt.digest),
    await contents.document(blobPath(configAt.digest), configAt.digest),
  )
  const layers = descriptorsOf(path, manifest['layers'])
  const diffIds = config.rootfs.diff_ids
  if (layers.length !== diffIds.length) {
    throw damaged(path, `it has ${layers.length} layers, and its configuration ${diffIds.length}`)
  }
  return {
    name: wanted.name ?? namesOf(first)[0],
    digest: descriptor.digest,
    config,
    layers: layers.map(({ digest }, at) => ({ path: blobPath(digest), digest, diffId: diffIds[at]! })),
  }
}

/** Returns the descriptor of the manifest of one platform, through nested indexes. */
async function forPlatform(
  contents: Contents,
  descriptor: Descriptor,
  platform: string,
  deeper: number,
): Promise<Descriptor> {
  const path = blobPath(descriptor.digest)
  const document = parsed(path, await contents.document(path, descriptor.digest))
  refuseBoth(path, document)
  if (!('manifests' in document)) return descriptor
  if (deeper === 0) throw damaged(path, `it has more than ${DEEPEST} nested indexes`)
  const all = descriptorsOf(path, document['manifests'])
  const fitting = all.filter(each => each.platform === undefined || platformOf(each) === platform)
  // A descriptor without a platform is an index, or the only image. A descriptor with the right platform is preferred.
  const best = fitting.find(each => each.platform !== undefined) ?? fitting[0]
  if (!best) throw damaged(path, `it has nothing for ${platform}; there is ${all.map(platformOf).join(', ')}`)
  return forPlatform(contents, best, platform, deeper - 1)
}

/** Rejects a document that is an index and a manifest: each reader could see another image (CVE-2021-41190). */
function refuseBoth(path: string, document: Record<string, unknown>): void {
  const isManifest = 'layers' in document || 'config' in document
  if (isManifest && 'manifests' in document) throw damaged(path, 'it is an index and a manifest at once')
}

const platformOf = ({ platform }: Descriptor): string => `${platform?.os ?? '?'}/${platform?.architecture ?? '?'}`
const ownPlatform = (): string => `linux/${arch === 'x64' ? 'amd64' : arch}`

const namesOf = ({ annotations }: Descriptor): string[] =>
  NAMES.map(name => annotations?.[name]).filter(name => typeof name === 'string')

function one<T>(what: string, found: readonly T[], names: readonly string[], name: string | undefined): T {
  if (found.length === 1) return found[0]!
  const there = names.length === 0 ? 'no names' : [...new Set(names)].join(', ')
  if (name !== undefined) throw damaged(what, `it has ${found.length} images named ${name}; there is ${there}`)
  throw damaged(what, `it has ${found.length} images: pass \`name\` to select one; there is ${there}`)
}

interface DockerEntry {
  readonly Config: string
  readonly RepoTags?: readonly string[] | null
  readonly Layers: readonly string[]
}

async function fromDocker(contents: Contents, { name }: Wanted): Promise<FoundImage> {
  const list: unknown = parsed('manifest.json', await contents.document('manifest.json'))
  if (!Array.isArray(list)) throw damaged('manifest.json', 'it is not a list')
  const all = list.map(entryOf)
  const named = name === undefined ? all : all.filter(each => each.RepoTags?.includes(name))
  const names = all.flatMap(each => each.RepoTags ?? [])
  const entry = one('manifest.json', named, names, name)
  const bytes = await contents.document(entry.Config)
  const config = configOf(entry.Config, bytes)
  const diffIds = config.rootfs.diff_ids
  if (entry.Layers.length !== diffIds.length) {
    throw damaged('manifest.json', `it has ${entry.Layers.length} layers, and its configuration ${diffIds.length}`)
  }
  const digest = digestOf(bytes)
  // The name of the configuration is its digest. Since Docker 25 it is a blob.
  const said = /([0-9a-f]{64})(?:\.json)?$/.exec(entry.Config)?.[1]
  if (said !== undefined && checkedDigest(entry.Config, `sha256:${said}`) !== digest) {
    throw damaged(entry.Config, `its digest is ${digest}`)
  }
  return {
    name: name ?? entry.RepoTags?.[0],
    digest,
    config,
    layers: entry.Layers.map((path, at) => ({ path, digest: undefined, diffId: diffIds[at]! })),
  }
}

function entryOf(value: unknown): DockerEntry {
  const { Config, Layers, RepoTags } = (value ?? {}) as Partial<DockerEntry>
  const texts = (list: unknown) => Array.isArray(list) && list.every(each => typeof each === 'string')
  if (typeof Config === 'string' && texts(Layers) && (RepoTags == null || texts(RepoTags))) return value as DockerEntry
  throw damaged('manifest.json', 'an entry without Config and Layers')
}
