// A refusal as the native side would report it (native/system/result.h Failure): the same way to a DmThinError follows.
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

/** What a target says of a table that it does not take: `ti->error`, and the errno of its constructor. */
export class TableRefusal extends Error {
  constructor(
    readonly errno: number,
    readonly reason: string,
  ) {
    super(reason)
  }
}

/** An I/O that failed. `code` as Node has it in errors of its own. */
export class IoError extends Error {
  constructor(readonly code: 'EIO' | 'ENOSPC' | 'EPERM' | 'EOPNOTSUPP') {
    super(`${code}: in-memory block device`)
  }
}

/** An I/O that the kernel holds back, until there is space or its device is resumed. */
export class HeldBack extends Error {}
