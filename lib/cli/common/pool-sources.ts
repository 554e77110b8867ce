// The files and devices of a pool in the options of commands.
import { statSync } from 'node:fs'
import type { DeviceSource } from '../../entry/index.js'

/** Returns a block device if the path is one, and a file otherwise. */
export function sourceOf(path: string, sizeBytes?: number): DeviceSource {
  if (statSync(path, { throwIfNoEntry: false })?.isBlockDevice()) return { device: path }
  return { file: path, ...(sizeBytes !== undefined && { sizeBytes }) }
}

export const recordOf = ({ record }: { readonly record?: string | undefined }): { record?: string } =>
  record === undefined ? {} : { record }
