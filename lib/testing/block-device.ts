// What loop devices and mapped devices have in common: a number, bytes, and who has them open.
import type { Holder } from '../base/errors.js'
import type { Bytes } from './sparse-bytes.js'

/** Who has a device open. Mapped devices share one claim on what lies below them; a mount claims it for itself. */
export interface Opener extends Holder {
  readonly claim: 'none' | 'mapped' | 'alone'
}

export abstract class BlockDevice implements Bytes {
  readonly #openers = new Set<Opener>()

  abstract readonly number: number
  /** `/dev/loop0`, `/dev/dm-0` */
  abstract readonly path: string
  abstract readonly sizeBytes: number
  abstract readonly readOnly: boolean
  abstract read(offset: number, length: number): Uint8Array
  abstract write(offset: number, content: Uint8Array): void
  /** Called when the last opener has gone. */
  protected abstract lastClosed(): void

  get openers(): readonly Opener[] {
    return [...this.#openers]
  }

  /** Whether an open with this claim would be refused with EBUSY. */
  refuses(claim: Opener['claim']): boolean {
    const claims = this.openers.map(opener => opener.claim)
    if (claim === 'none') return false
    return claims.includes('alone') || (claim === 'alone' && claims.includes('mapped'))
  }

  /** Gives what closes it again; closing twice is closing once. */
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
