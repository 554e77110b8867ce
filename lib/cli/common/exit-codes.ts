// The exit codes of the command line, one for each kind of error. docs/command-line.md has the same table.
import { DmThinError, type ErrorCode } from '../../base/errors.js'

export const EXIT = {
  /** The command succeeded. */
  ok: 0,
  /** The command succeeded, and its result contains something that needs an action. */
  findings: 1,
  /** The call is wrong: an unknown command or option, a missing or invalid argument. */
  usage: 2,
  /** The named pool, volume, layer, store or file does not exist. */
  notFound: 3,
  /** The name, the id or the device is in use. */
  exists: 4,
  /** The state of the object does not permit the call: it is in use, active, not active, suspended. */
  state: 5,
  /** The pool, the layer or the disk below is full, or the pool cannot create further snapshots. */
  space: 6,
  /** The machine lacks something: root, a kernel feature, a package, a program. */
  machine: 7,
  /** Something is damaged, failed, or not what was recorded. */
  damaged: 8,
  /** The image, archive or stream is rejected. */
  input: 9,
  /** Any other error. */
  other: 10,
  /** The command was ended by SIGINT, with the number of shells. */
  interrupted: 130,
} as const

/** The exit code of each error code. The compiler reports a missing entry. */
export const EXIT_OF: Readonly<Record<ErrorCode, number>> = {
  ABORT_ERR: EXIT.interrupted,
  DM_ALREADY_ACTIVE: EXIT.state,
  DM_BOOKMARK_INVALID: EXIT.damaged,
  DM_BUSY: EXIT.state,
  DM_CHECK_FAILED: EXIT.damaged,
  DM_CLOSED: EXIT.state,
  DM_DEPENDENCY: EXIT.machine,
  DM_FILE_ATTACHED: EXIT.exists,
  DM_FILE_MISSING: EXIT.notFound,
  DM_FILE_NO_HOLES: EXIT.machine,
  DM_FILE_SIZE: EXIT.damaged,
  DM_FILTER: EXIT.usage,
  DM_IMAGE: EXIT.input,
  DM_INVALID_ARGUMENT: EXIT.usage,
  DM_KERNEL: EXIT.other,
  DM_LAYER_CHANGED: EXIT.state,
  DM_LAYER_DAMAGED: EXIT.damaged,
  DM_LAYER_DIGEST: EXIT.input,
  DM_LAYER_EXISTS: EXIT.exists,
  DM_LAYER_HAS_CHILDREN: EXIT.state,
  DM_LAYER_LIMIT: EXIT.input,
  DM_LAYER_NOT_FOUND: EXIT.notFound,
  DM_LAYER_SPACE: EXIT.space,
  DM_LAYER_STATE: EXIT.state,
  DM_LAYER_TAR: EXIT.input,
  DM_METADATA_BLANK: EXIT.notFound,
  DM_METADATA_BUSY: EXIT.state,
  DM_METADATA_CORRUPT: EXIT.damaged,
  DM_METADATA_NOT_BLANK: EXIT.exists,
  DM_METADATA_SNAPSHOT_HELD: EXIT.state,
  DM_METADATA_SNAPSHOT_NOT_HELD: EXIT.state,
  DM_NAME_TAKEN: EXIT.exists,
  DM_NOT_ACTIVE: EXIT.state,
  DM_NOT_A_POOL: EXIT.notFound,
  DM_NOT_COMMITTED: EXIT.damaged,
  DM_NOT_FOUND: EXIT.notFound,
  DM_PERMISSION: EXIT.machine,
  DM_POOL_FAILED: EXIT.damaged,
  DM_POOL_FULL: EXIT.space,
  DM_POOL_IN_USE: EXIT.state,
  DM_POOL_MISMATCH: EXIT.damaged,
  DM_POOL_NOT_GROWN: EXIT.space,
  DM_POOL_READ_ONLY: EXIT.damaged,
  DM_POOL_RESERVE: EXIT.space,
  DM_POOL_SUSPENDED: EXIT.state,
  DM_POOL_WORN: EXIT.space,
  DM_RECORD: EXIT.damaged,
  DM_REPAIR_FAILED: EXIT.damaged,
  DM_SIGNATURE_FOUND: EXIT.exists,
  DM_SIZE_UNKNOWN: EXIT.usage,
  DM_STORE_DATABASE: EXIT.damaged,
  DM_STORE_MISMATCH: EXIT.damaged,
  DM_TABLE_REFUSED: EXIT.other,
  DM_TRANSACTION_MISMATCH: EXIT.state,
  DM_TRANSFER_INVALID: EXIT.input,
  DM_UDEV_TIMEOUT: EXIT.state,
  DM_UNAVAILABLE: EXIT.machine,
  DM_UNSUPPORTED: EXIT.machine,
  DM_VOLUME_ACTIVE: EXIT.state,
  DM_VOLUME_EXISTS: EXIT.exists,
  DM_VOLUME_NOT_FOUND: EXIT.notFound,
}

export const exitCodeOf = (fault: unknown): number => (fault instanceof DmThinError ? EXIT_OF[fault.code] : EXIT.other)
