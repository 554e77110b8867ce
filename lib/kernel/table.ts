// Tables: segments one after the other. Each has a length, from which the start sectors follow.
import { checkNumber, invalid, shown } from '../base/options.js'
import type { TargetLine } from './port/device-port.js'

/** A range of a mapped device and its mapping. The targets of this package make segments. */
export interface Segment {
  /** The length of the segment in sectors of 512 bytes, from 1. */
  readonly lengthSectors: number
  /** The target's name: `linear`, `thin` … At most 15 bytes. */
  readonly type: string
  /** The target's arguments, as the kernel reads them. */
  readonly parameters: string
}

/** dm_target_spec.target_type minus the terminator. */
const MAX_TYPE_BYTES = 15

const isArray = (value: unknown): boolean => Array.isArray(value)

/** Arranges segments one after the other from sector 0. Throws `DM_INVALID_ARGUMENT`, naming the segment. */
export function buildTable(segments: readonly Segment[]): TargetLine[] {
  if (!isArray(segments) || segments.length === 0) throw invalid('a table must be an array of at least one segment')
  let startSectors = 0
  return segments.map((segment, at) => {
    const what = `segment ${at}`
    if (typeof segment !== 'object' || segment === null)
      throw invalid(`${what} must be an object, but is ${shown(segment)}`)
    const { lengthSectors, type, parameters } = segment
    checkNumber(`${what}: lengthSectors`, lengthSectors, { min: 1 })
    if (typeof type !== 'string' || type === '' || Buffer.byteLength(type) > MAX_TYPE_BYTES) {
      throw invalid(`${what}: type must be a target's name of 1 to ${MAX_TYPE_BYTES} bytes, but is ${shown(type)}`)
    }
    if (typeof parameters !== 'string' || parameters.includes('\0')) {
      throw invalid(`${what}: parameters must be a string without NUL characters, but are ${shown(parameters)}`)
    }
    const line = { startSectors, lengthSectors, type, parameters }
    startSectors += lengthSectors
    return line
  })
}
