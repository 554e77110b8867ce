// Leases on layers: while a call has one, no call of this or another process seals or deletes the layer's volume. A lease
// is taken in the transaction that reads the layer's row, so that the row is valid until the lease is released. It is
// recorded, so that other processes honour it. It ends with its owner.
import { DmThinError } from '../../base/errors.js'
import type { LeaseKind, LeaseRow } from '../records/lease-rows.js'
import type { Row } from '../records/row.js'
import type { Owner } from '../records/owner.js'
import type { Records } from '../records/records.js'
import { readyRow } from '../records/layer-lookup.js'
import type { Writer } from '../records/writer.js'

interface LeaseParts {
  readonly records: Records
  readonly writer: Writer
  readonly owner: Owner
}

/** A lease: the row is valid until `release`. */
export interface Lease {
  readonly row: Row
  release(): Promise<void>
}

/** The leases of a store. */
export class Leases {
  readonly #parts: LeaseParts

  constructor(parts: LeaseParts) {
    this.#parts = parts
  }

  /** Takes a lease on a layer that no call is changing. `check` throws if the layer is not of the required kind. */
  async take(key: string, kind: LeaseKind, check: (row: Row) => void = () => {}): Promise<Lease> {
    const { records, writer, owner } = this.#parts
    return writer.write(
      () => {
        const row = readyRow(records, key)
        check(row)
        return this.#lease(row, records.leases.insert(row.thin, kind, owner.id))
      },
      { durable: false },
    )
  }

  /** Runs `body` with the layer's row while a lease on it is held. */
  async using<T>(key: string, body: (row: Row) => Promise<T>, check?: (row: Row) => void): Promise<T> {
    const lease = await this.take(key, 'use', check)
    try {
      return await body(lease.row)
    } finally {
      await lease.release()
    }
  }

  /** Takes a lease that prevents the removal of the layer that a row of this owner is to become. */
  async keep(row: Row): Promise<Lease> {
    const { records, writer, owner } = this.#parts
    const take = () => this.#lease(row, records.leases.insert(row.thin, 'keep', owner.id))
    return writer.write(take, { durable: false })
  }

  /** Returns the leases of living owners, for all volumes or for one. Deletes the leases of dead owners. */
  async living(thin?: number): Promise<LeaseRow[]> {
    const { records, writer, owner } = this.#parts
    const found = thin === undefined ? records.leases.all() : records.leases.of(thin)
    const living: LeaseRow[] = []
    const dead: LeaseRow[] = []
    const lives = new Map<string, boolean>()
    for (const lease of found) {
      if (!lives.has(lease.owner)) lives.set(lease.owner, await owner.isAlive(lease.owner))
      ;(lives.get(lease.owner) === true ? living : dead).push(lease)
    }
    if (dead.length > 0) await writer.write(() => dead.forEach(({ id }) => records.leases.delete(id)))
    return living
  }

  /** Rejects with `DM_BUSY` while a call of a living owner has a lease on the volume. */
  async refuseUsed({ thin }: Row): Promise<void> {
    const [lease] = await this.living(thin)
    if (!lease) return
    const text = `volume ${thin} is in use by a call of ${lease.owner === this.#parts.owner.id ? 'this' : 'another'} store object`
    throw new DmThinError('DM_BUSY', text, { detail: lease.owner })
  }

  #lease(row: Row, id: number): Lease {
    const { records, writer } = this.#parts
    // A lease that cannot be deleted ends with its owner.
    const release = () => writer.write(() => records.leases.delete(id), { durable: false }).catch(() => {})
    return { row, release }
  }
}
