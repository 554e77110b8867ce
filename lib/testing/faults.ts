// Injected faults: the next call of an operation fails as it would fail in the kernel.
import { ERRNO } from '../base/errors.js'
import { checkNumber, invalid, shown } from '../base/options.js'
import { IoError, Refusal } from './refusal.js'

/** The operations that can fail, by the kernel's names; `write` and `read` are I/O to the node of a device. */
export const OPERATIONS = [
  'DM_VERSION',
  'DM_REMOVE_ALL',
  'DM_LIST_DEVICES',
  'DM_DEV_CREATE',
  'DM_DEV_REMOVE',
  'DM_DEV_RENAME',
  'DM_DEV_SUSPEND',
  'DM_DEV_RESUME',
  'DM_DEV_STATUS',
  'DM_DEV_WAIT',
  'DM_TABLE_LOAD',
  'DM_TABLE_CLEAR',
  'DM_TABLE_DEPS',
  'DM_TABLE_STATUS',
  'DM_LIST_VERSIONS',
  'DM_TARGET_MSG',
  'DM_DEV_SET_GEOMETRY',
  'DM_DEV_ARM_POLL',
  'DM_GET_TARGET_VERSION',
  'LOOP_CONFIGURE',
  'LOOP_SET_CAPACITY',
  'LOOP_CHANGE_FD',
  'LOOP_SET_DIRECT_IO',
  'LOOP_CLR_FD',
  'create file',
  'ftruncate',
  'unlink',
  'pread',
  'pwrite',
  'mount',
  'umount2',
  'write',
  'read',
] as const

type Known = (typeof OPERATIONS)[number]
type WithoutPrefix<Name extends string> = Name extends `DM_${infer Rest}` ? Rest : never
/**
 * An operation, by the kernel's name: `DM_TABLE_LOAD`, `LOOP_CONFIGURE`, `mount`, `pwrite` … The prefix `DM_` can be omitted:
 * `TABLE_LOAD`. `read` and `write` are I/O to the node of a device.
 */
export type Operation = Known | WithoutPrefix<Known>

/** The numbers of Linux, on every machine. */
const NUMBERS = {
  ...ERRNO,
  EROFS: 30,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ETIMEDOUT: 110,
} as const
/**
 * The name of an error number.
 *
 * @useDeclaredType
 */
export type ErrnoName = keyof typeof NUMBERS

/** Options of `MemoryKernel.fail`. */
export interface FaultOptions {
  /** The number of calls that succeed before the first that fails. Default 0: the next call fails. */
  readonly after?: number
  /** The number of calls that fail after these. Default 1; `Infinity`: all. */
  readonly times?: number
}

interface Fault {
  readonly operation: string
  readonly errno: ErrnoName
  after: number
  times: number
}

/** The injected faults of a memory kernel. */
export class Faults {
  #ordered: Fault[] = []

  order(operation: Operation, errno: ErrnoName, { after = 0, times = 1 }: FaultOptions = {}): void {
    const name = OPERATIONS.find(known => known === operation || known === `DM_${operation}`)
    if (name === undefined) throw invalid(`fail: no operation ${shown(operation)}; known are ${OPERATIONS.join(', ')}`)
    if (!(errno in NUMBERS))
      throw invalid(`fail: no error ${shown(errno)}; known are ${Object.keys(NUMBERS).join(', ')}`)
    checkNumber('after', after, { min: 0 })
    if (times !== Infinity) checkNumber('times', times, { min: 1 })
    this.#ordered.push({ operation: name, errno, after, times })
  }

  clear(): void {
    this.#ordered = []
  }

  /** Throws if a fault was injected for this call. */
  pass(operation: Known, details: { readonly device?: string; readonly detail?: string } = {}): void {
    const fault = this.#due(operation)
    if (fault === undefined) return
    if (operation !== 'write' && operation !== 'read') throw new Refusal(operation, NUMBERS[fault], details)
    throw new IoError(fault === 'ENOSPC' || fault === 'EPERM' ? fault : 'EIO')
  }

  #due(operation: string): ErrnoName | undefined {
    const found = this.#ordered.find(fault => fault.operation === operation)
    if (!found) return undefined
    if (found.after > 0) {
      found.after -= 1
      return undefined
    }
    found.times -= 1
    if (found.times === 0) this.#ordered = this.#ordered.filter(fault => fault !== found)
    return found.errno
  }
}
