// The parts of an open store that its calls use. Each call names the parts that it needs.
import type { ThinPool } from '../../pool/thin-pool.js'
import type { Owner } from '../records/owner.js'
import type { Records } from '../records/records.js'
import type { Writer } from '../records/writer.js'
import type { Claims } from './claims.js'
import type { CommitPoints } from './commit-points.js'
import type { KeyLocks } from './key-locks.js'
import type { Leases } from './leases.js'
import type { RemovalQueue } from './removal-queue.js'
import type { Reserve } from './space-reserve.js'
import type { Volumes } from './volumes.js'

export interface StoreParts {
  readonly directory: string
  readonly pool: ThinPool
  readonly records: Records
  readonly writer: Writer
  readonly owner: Owner
  readonly claims: Claims
  readonly points: CommitPoints
  readonly volumes: Volumes
  readonly locks: KeyLocks
  readonly leases: Leases
  readonly reserve: Reserve
  readonly removals: RemovalQueue
  /** Returns the time in nanoseconds since 1970. */
  readonly clock: () => bigint
}
