// The SHA-256 of bytes that arrive in pieces, computed on a native thread beside other work.
import { createHash, type Hash } from 'node:crypto'
import { release, retain } from '../base/reused-memory.js'
import { MiB } from '../base/units.js'
import { nativePort } from './native-port.js'
import type { MachinePort } from './port/machine-port.js'
import type { Handle } from './port/handle.js'

/** The minimum for one native call. A sequence of fewer bytes is computed on the JavaScript thread. */
const CALL_BYTES = 1 * MiB
/** The limit for bytes that wait for a native call. */
const AHEAD_BYTES = 4 * MiB

/** The calls of the kernel interface that a digest makes. */
export type DigestPort = Pick<MachinePort, 'digestOpen' | 'digestUpdate' | 'digestFinish' | 'sha256' | 'release'>

/** The digest of one sequence of bytes. If Node exports no OpenSSL, the JavaScript thread computes it. */
export class Sha256 {
  readonly #port: DigestPort
  /** The native digest, from the first native call on. */
  #handle: Handle | undefined
  /** The digest of `node:crypto`, if there can be no native one. */
  #hash: Hash | undefined
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #running: Promise<void> | undefined
  #closed = false

  constructor(port: DigestPort = nativePort()) {
    this.#port = port
  }

  /**
   * Adds bytes, which must not be changed until `settled` resolves. Returns a promise if the bytes must not be followed by
   * others before it resolves, so that memory stays bounded. The promise rejects if OpenSSL fails.
   */
  add(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#closed) return undefined // a source that was given up may still deliver what was asked of it before
    if (this.#hash) {
      this.#hash.update(bytes)
      return undefined
    }
    retain(bytes)
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    if (this.#waitingBytes < CALL_BYTES) return undefined
    if (this.#running === undefined) this.#begin()
    return this.#waitingBytes >= AHEAD_BYTES ? this.#running : undefined
  }

  /** Returns the digest, in hexadecimal digits, when all bytes are computed. The last call. */
  async hex(): Promise<string> {
    while (this.#running) await this.#running
    if (this.#handle === undefined) return this.#onThisThread().digest('hex')
    if (this.#waitingBytes > 0) await this.#port.digestUpdate(this.#handle, this.#waiting)
    return (await this.#port.digestFinish(this.#handle)).toString('hex')
  }

  /** Frees the native digest when no call uses the bytes any more. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    this.#waiting = []
    this.#waitingBytes = 0
    await this.#running?.catch(() => {})
    const handle = this.#handle
    this.#handle = undefined
    if (handle !== undefined) await this.#port.release(handle)
  }

  #begin(): void {
    this.#handle ??= this.#port.digestOpen() ?? undefined
    if (this.#handle === undefined) {
      this.#onThisThread()
      return
    }
    this.#running = this.#update(this.#handle)
    this.#running.catch(() => {}) // reported by the call that waits for it
  }

  /** Adds what waits, and what arrives during a call if that is enough for another one. */
  async #update(handle: Handle): Promise<void> {
    while (this.#waitingBytes >= CALL_BYTES) {
      const chunks = this.#waiting
      this.#waiting = []
      this.#waitingBytes = 0
      await this.#port.digestUpdate(handle, chunks)
      chunks.forEach(release)
    }
    this.#running = undefined
  }

  #onThisThread(): Hash {
    const hash = (this.#hash ??= createHash('sha256'))
    for (const each of this.#waiting) {
      hash.update(each)
      release(each)
    }
    this.#waiting = []
    this.#waitingBytes = 0
    return hash
  }
}
