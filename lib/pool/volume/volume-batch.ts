// What calls for many volumes ask of each of them.
import type { Pending } from '../../base/pending.js'
import type { ActivateRequest, DeviceAddress, Outcome, SnapshotRequest } from '../../kernel/port/port.js'
import type { VolumeRecord } from '../state/record.js'

/** @internal What one volume has to do with a call for many. */
export interface VolumeBatch {
  readonly pending: Pending
  readonly unchecked: boolean
  snapshotRequest(ids: readonly number[]): SnapshotRequest
  /** `originOf` gives the number of an external origin, or throws. */
  activateRequest(readOnly: boolean, originOf: (path: string) => string): ActivateRequest
  activated(request: ActivateRequest, outcome: Outcome): Promise<void>
  address(): DeviceAddress
  isOwnNow(): boolean
  recorded(): readonly [id: number, volume: VolumeRecord]
  deactivated(outcome: Outcome, started: number): Promise<void>
  deleted(outcome: Outcome): Promise<void>
}
