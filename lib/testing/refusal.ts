// Errors of the memory kernel. A refusal has the form of `Failure` of the native side (native/system/result.h), so that its
// translation to a `DmThinError` is the same.
import { errorFromFailure } from '../kernel/errors/translate.js'
import type { NativeOperation } from '../kernel/errors/native-operation.js'
import type { NativeFailure } from '../kernel/errors/native-failure.js'
import type { DmThinError, RollbackStep } from '../base/errors.js'

interface Details {
  readonly device?: string
  readonly detail?: string
  readonly kernelReason?: string
  readonly tries?: number
  readonly rollback?: readonly RollbackStep[]
}

/** A failed operation of the kernel. */
export class Refusal extends Error {
  readonly failure: NativeFailure

  constructor(operation: NativeOperation | '', errno: number, details: Details = {}) {
    super(`${operation}: errno ${errno}`)
    const { device = '', detail = '', kernelReason = '', tries = 1, rollback = [] } = details
    this.failure = { operation, errno, device, detail, kernelReason, cancelled: false, tries, rollback }
  }

  with(details: Details): Refusal {
    return new Refusal(this.failure.operation, this.failure.errno, { ...this.failure, ...details })
  }

  toError(signal?: AbortSignal): DmThinError {
    return errorFromFailure(this.failure, signal)
  }
}

/** The rejection of a table by a target: the text of `ti->error`, and the errno of the target's constructor. */
export class TableRefusal extends Error {
  constructor(
    readonly errno: number,
    readonly reason: string,
  ) {
    super(reason)
  }
}

/** An I/O that failed. `code` is the same as in errors of Node. */
export class IoError extends Error {
  constructor(readonly code: 'EIO' | 'ENOSPC' | 'EPERM' | 'EOPNOTSUPP') {
    super(`${code}: in-memory block device`)
  }
}

/** An I/O that waits until there is space, or until its device is resumed. */
export class WaitingIo extends Error {}
