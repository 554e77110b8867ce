// The failure that native code reports, and its classification.
import type { ErrorCode, RollbackStep } from '../../base/errors.js'
import type { NativeOperation } from './native-operation.js'

/** A failure: `Failure` of native/system/result.h, as to_js.cc writes it. */
export interface NativeFailure {
  readonly operation: NativeOperation | ''
  readonly errno: number
  readonly device: string
  readonly detail: string
  readonly kernelReason: string
  readonly cancelled: boolean
  readonly tries: number
  readonly rollback: readonly RollbackStep[]
}

export interface Classification {
  readonly code: ErrorCode
  readonly message: string
  /** The corrupt block of metadata. */
  readonly block?: number
}
