// The labels of containerd: those that a layer keeps, and those that select its size and file system.
import type { Labels, LayerFileSystem } from '../store/common/layer-types.js'
import { parseSize } from '../base/units.js'
import type { UpdateOptions } from '../store/layer-store-options.js'
import { RequestError, STATUS } from '../grpc/statuses.js'

const SIZE = 'containerd.io/snapshot/dm-thin/size'
const FILE_SYSTEM = 'containerd.io/snapshot/dm-thin/fstype'

/** Drops labels without a value, because containerd deletes a label by setting it to an empty value. */
export const kept = (labels: Labels): Record<string, string> =>
  Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ''))

interface RequestedDisk {
  readonly sizeBytes?: number
  readonly fileSystem?: LayerFileSystem
}

/**
 * Returns the size and the file system that the labels select. A client that unpacks an image sets the same labels on all its
 * layers, and a layer has the file system of its parent, so that the label of the file system is ignored if there is a parent.
 */
export function diskOf(labels: Labels, parent: string): RequestedDisk {
  const size = labels[SIZE]
  const fileSystem = labels[FILE_SYSTEM]
  if (fileSystem !== undefined && fileSystem !== 'ext4' && fileSystem !== 'xfs')
    throw new RequestError(
      STATUS.INVALID_ARGUMENT,
      `label ${FILE_SYSTEM} is ${JSON.stringify(fileSystem)}: ext4 or xfs`,
    )
  const sizeBytes = size === undefined ? undefined : parseSize(size)
  if (size !== undefined && sizeBytes === undefined)
    throw new RequestError(STATUS.INVALID_ARGUMENT, `label ${SIZE} is ${JSON.stringify(size)}: 10GiB, 512MiB or bytes`)
  return {
    ...(sizeBytes !== undefined && { sizeBytes }),
    ...(fileSystem !== undefined && parent === '' && { fileSystem }),
  }
}

/**
 * Returns the change for an update request. Only the labels of a layer can change. The mask names the labels to change;
 * without a mask, all labels are replaced.
 */
export function changeOf(wanted: Labels, paths: readonly string[]): UpdateOptions {
  const all = paths.length === 0 || paths.includes('labels')
  const some = paths
    .filter(path => path !== 'labels')
    .map(path => {
      if (path.startsWith('labels.')) return path.slice('labels.'.length)
      throw new RequestError(STATUS.INVALID_ARGUMENT, `${JSON.stringify(path)} of a snapshot cannot be updated`)
    })
  if (all) return { labels: kept(wanted) }
  return { setLabels: Object.fromEntries(some.map(key => [key, Object.hasOwn(wanted, key) ? wanted[key]! : ''])) }
}
