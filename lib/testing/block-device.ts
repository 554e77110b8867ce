// The base class of loop devices and mapped devices: a number, content, and openers.
import type { Holder } from '../base/errors.js'
import type { Bytes } from './sparse-bytes.js'

/** An opener of a device. Mapped devices share one claim on the devices below them; a mount claims a device exclusively. */
export interface Opener extends Holder {
  readonly claim: 'none' | 'mapped' | 'alone'
}

/** A block device in memory. */
export abstract class BlockDevice implements Bytes {
  readonly #openers = new Set<Opener>()

  abstract readonly number: number
  /** The path, such as `/dev/loop0` or `/dev/dm-0`. */
  abstract readonly path: string
  abstract readonly sizeBytes: number
  abstract readonly readOnly: boolean
  abstract read(offset: number, length: number): Uint8Array
  abstract write(offset: number, content: Uint8Array): void
  /** Runs after the last opener has closed the device. */
  protected abstract lastClosed(): void

  get openers(): readonly Opener[] {
    return [...this.#openers]
  }

  /** Returns whether an open with this claim would fail with EBUSY. */
  refuses(claim: Opener['claim']): boolean {
    const claims = this.openers.map(opener => opener.claim)
    if (claim === 'none') return false
    return claims.includes('alone') || (claim === 'alone' && claims.includes('mapped'))
  }

  /** Opens the device. Returns a function that closes it; further calls of this function have no effect. */
  open(opener: Opener): () => void {
    const own = { ...opener }
    this.#openers.add(own)
    return () => {
      if (this.#openers.delete(own) && this.#openers.size === 0) this.lastClosed()
    }
  }
}

export const processOpener = (claim: Opener['claim'] = 'none'): Opener => ({
  kind: 'process',
  path: 'memory-kernel',
  pid: process.pid,
  claim,
})
