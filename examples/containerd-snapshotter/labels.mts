// Labels of containerd's: which of them a layer keeps, and those by which its size and file system are chosen.
import type { Labels, LayerFileSystem, UpdateOptions } from 'dm-thin/store'
import { status } from '@grpc/grpc-js'
import { Refused } from './refused.mjs'
import { parseSize } from './size.mjs'

const SIZE = 'containerd.io/snapshot/dm-thin/size'
const FILE_SYSTEM = 'containerd.io/snapshot/dm-thin/fstype'

/** A label without a value is a label that is not there. */
export const kept = (labels: Labels): Record<string, string> =>
  Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ''))

interface Wishes {
  readonly sizeBytes?: number
  readonly fileSystem?: LayerFileSystem
}

/**
 * Whoever unpacks an image gives each of its layers the same labels, and a layer has the file system of the one below:
 * a wish for one is heard where nothing is below.
 */
export function wishesOf(labels: Labels, parent: string): Wishes {
  const size = labels[SIZE]
  const fileSystem = labels[FILE_SYSTEM]
  if (fileSystem !== undefined && fileSystem !== 'ext4' && fileSystem !== 'xfs')
    throw new Refused(status.INVALID_ARGUMENT, `label ${FILE_SYSTEM} is ${JSON.stringify(fileSystem)}: ext4 or xfs`)
  const sizeBytes = size === undefined ? undefined : parseSize(size)
  if (size !== undefined && sizeBytes === undefined)
    throw new Refused(status.INVALID_ARGUMENT, `label ${SIZE} is ${JSON.stringify(size)}: 10GiB, 512MiB or bytes`)
  return {
    ...(sizeBytes !== undefined && { sizeBytes }),
    ...(fileSystem !== undefined && parent === '' && { fileSystem }),
  }
}

/**
 * What an update asks for. Of all that containerd knows of a layer only its labels can change; a mask names which, and
 * without a mask it is all of them.
 */
export function changeOf(wanted: Labels, paths: readonly string[]): UpdateOptions {
  const all = paths.length === 0 || paths.includes('labels')
  const some = paths
    .filter(path => path !== 'labels')
    .map(path => {
      if (path.startsWith('labels.')) return path.slice('labels.'.length)
      throw new Refused(status.INVALID_ARGUMENT, `${JSON.stringify(path)} of a snapshot cannot be updated`)
    })
  if (all) return { labels: kept(wanted) }
  return { setLabels: Object.fromEntries(some.map(key => [key, Object.hasOwn(wanted, key) ? wanted[key]! : ''])) }
}
