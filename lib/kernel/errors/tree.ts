// Classification of errors in a tree of files.
import { ERRNO } from '../../base/errors.js'
import type { NativeFailure, Classification } from './native-failure.js'

const { ENOTDIR, EXDEV } = ERRNO

/** Returns the classification; undefined if operation and errno have no special meaning. */
export function classifyTree({ operation, errno, device }: NativeFailure): Classification | undefined {
  if (operation === 'tree changed') {
    const rule = 'a layer that is compared or read must not be written to'
    return { code: 'DM_LAYER_CHANGED', message: `${JSON.stringify(device)} has changed during the call: ${rule}` }
  }
  if (operation === 'tree mount' && errno === EXDEV) {
    const message = `something is mounted on ${JSON.stringify(device)}, and hides what the layer has there: unmount it first`
    return { code: 'DM_UNSUPPORTED', message }
  }
  if (operation === 'open tree' && errno === ENOTDIR) {
    return { code: 'DM_INVALID_ARGUMENT', message: `${device} is not a directory` }
  }
  return undefined
}
