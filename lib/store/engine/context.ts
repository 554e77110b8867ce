// What the calls of one open store share.
import type { ThinPool } from '../../pool/thin-pool.js'
import type { Bases } from '../layers/base-volumes.js'
import type { CommitPoints } from './commit-points.js'
import type { Formatter } from '../common/mkfs.js'
import type { Leases } from './leases.js'
import type { Locks } from './key-locks.js'
import type { Owner } from '../records/owner.js'
import type { Records } from '../records/records.js'
import type { Reserve } from './reserve.js'
import type { Removals } from './removal-queue.js'
import type { LayerFileSystem } from '../common/types.js'
import type { Volumes } from './volumes.js'
import type { WarmSets } from '../layers/warm-pool.js'
import type { Writer } from '../records/writer.js'

export interface StoreParts {
  readonly directory: string
  readonly pool: ThinPool
  readonly records: Records
  readonly writer: Writer
  readonly owner: Owner
  readonly points: CommitPoints
  readonly volumes: Volumes
  readonly locks: Locks
  readonly leases: Leases
  readonly reserve: Reserve
  readonly format: Formatter
  readonly fileSystem: LayerFileSystem
  readonly sizeBytes: number
  /** Whether the pool zeroes a block before it is written in part. */
  readonly zeroed: boolean
  /** Nanoseconds since 1970. */
  readonly clock: () => bigint
}

export interface StoreContext extends StoreParts {
  readonly bases: Bases
  readonly removals: Removals
  readonly warm: WarmSets
}
