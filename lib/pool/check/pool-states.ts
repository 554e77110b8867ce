// The states in which a check finds a pool, and the call that resolves each.

/**
 * The state of a pool's metadata.
 *
 * - `ok`: no fault was found.
 * - `needs-check`: the needs-check flag is set, so that the kernel starts the pool read-only. A full check has found no
 *   fault; a quick one has read only the superblock and the list of volumes.
 * - `leaks`: blocks are allocated that belong to nothing. The volumes are intact, and the pool works.
 * - `damaged`: a tree or a space map violates the format. Some volumes may be intact.
 * - `superblock-damaged`: the superblock cannot be read; the trees may be intact.
 * - `metadata-short`: the metadata device is shorter than the metadata.
 * - `data-short`: the data device is shorter than the pool.
 * - `mismatch`: the metadata is not what the record or the caller knows: older, or of another pool.
 * - `blank`: the metadata device starts with zeros; there is no pool.
 * - `read-only`: the pool runs, and has no free metadata.
 * - `failed`: the pool runs, and could not even return to its last commit.
 */
export type PoolState =
  | 'ok'
  | 'needs-check'
  | 'leaks'
  | 'damaged'
  | 'superblock-damaged'
  | 'metadata-short'
  | 'data-short'
  | 'mismatch'
  | 'blank'
  | 'read-only'
  | 'failed'

/** The result of `ThinPool.check`. */
export interface PoolCheck {
  /** The state, which is the worst that was found. */
  readonly state: PoolState
  /** True if the pool runs. Of a running pool, the space maps are not checked. */
  readonly running: boolean
  /** The faults, for people, as this library and `thin_check` name them. Empty if there is none. */
  readonly details: readonly string[]
  /** The call that resolves the state, for people; undefined if nothing has to be done. */
  readonly resolve: string | undefined
}

/** The states that `ThinPool.repair` resolves. */
const REPAIRED: ReadonlySet<PoolState> = new Set([
  'needs-check',
  'leaks',
  'damaged',
  'superblock-damaged',
  'metadata-short',
  'failed',
])

export const isRepairable = (state: PoolState): boolean => REPAIRED.has(state)

/** Returns the call that resolves a state of a pool. */
export function resolvingCall(state: PoolState, name: string): string | undefined {
  const pool = JSON.stringify(name)
  switch (state) {
    case 'ok':
      return undefined
    case 'read-only':
      return `pool.grow({ metadataBytes }) of pool ${pool}`
    case 'data-short':
      return `ThinPool.open({ name: ${pool}, … }), after the data file or device has its size again`
    case 'mismatch':
      return `ThinPool.open({ name: ${pool}, … }) with the right metadata, or without check and record to accept this one`
    case 'blank':
      return `ThinPool.create({ name: ${pool}, … }), if no other metadata of the pool exists`
    default:
      return `ThinPool.repair({ name: ${pool}, … })`
  }
}
