// The running pools with their metadata and mapped devices, as in dm-thin.c __pool_find.
import { ERRNO } from '../base/errors.js'
import type { PoolTable } from '../target/thin-pool.js'
import type { BlockDevice } from './block-device.js'
import { MappedDevice } from './mapped-device.js'
import { MemoryPool } from './memory-pool.js'
import { TableRefusal } from './refusal.js'

interface RunningPool {
  readonly pool: MemoryPool
  readonly metadata: BlockDevice
  readonly data: BlockDevice
  readonly owner: MappedDevice
  /** The number of tables that use the pool or one of its thins. */
  users: number
}

/** The running pools of a memory kernel. */
export class RunningPools {
  readonly #pools: RunningPool[] = []
  readonly #onEvent: (owner: MappedDevice) => void

  constructor(onEvent: (owner: MappedDevice) => void) {
    this.#onEvent = onEvent
  }

  on(device: MappedDevice): MemoryPool | undefined {
    return this.#pools.find(({ owner }) => owner === device)?.pool
  }

  sync(): void {
    for (const { pool } of this.#pools) pool.sync()
  }

  take(owner: MappedDevice, metadata: BlockDevice, data: BlockDevice, table: PoolTable): MemoryPool {
    const there = this.#pools.find(each => each.metadata === metadata)
    if (there && there.owner !== owner) throw new TableRefusal(ERRNO.EBUSY, 'metadata device already in use by a pool')
    if (there && there.data !== data) throw new TableRefusal(ERRNO.EBUSY, 'data device already in use by a pool')
    if (there) {
      if (there.pool.ignoresDiscard !== table.ignoreDiscard) {
        throw new TableRefusal(ERRNO.EINVAL, 'Discard support cannot be disabled once enabled')
      }
      there.users += 1
      return there.pool
    }
    if (this.on(owner)) throw new TableRefusal(ERRNO.EINVAL, 'different pool cannot replace a pool')
    this.sync()
    const pool = new MemoryPool(metadata, data, table.blockSectors)
    pool.onEvent = () => this.#onEvent(owner)
    this.#pools.push({ pool, metadata, data, owner, users: 1 })
    return pool
  }

  join(device: BlockDevice): MemoryPool {
    if (!(device instanceof MappedDevice)) throw new TableRefusal(ERRNO.EINVAL, "Couldn't get pool mapped device")
    const there = this.#pools.find(each => each.owner === device)
    if (!there) throw new TableRefusal(ERRNO.EINVAL, "Couldn't find pool object")
    there.users += 1
    return there.pool
  }

  release(pool: MemoryPool): void {
    const at = this.#pools.findIndex(each => each.pool === pool)
    const there = this.#pools[at]
    if (!there) return
    there.users -= 1
    if (there.users > 0) return
    pool.sync()
    this.#pools.splice(at, 1)
  }
}
