// Two trees held open while they are compared, and while what differs is read.
import { nativePort } from '../../kernel/native-port.js'
import type { TreePort } from '../../kernel/port/tree-port.js'
import type { Handle } from '../../kernel/port/handle.js'
import { packParts, readBatch, type FilePart, type TreeRecord } from './tree-record.js'

/** The amount that `changes` has compared so far. */
export interface ChangesProgress {
  /** Entries looked at so far. */
  readonly entries: number
  /** Changes found so far. */
  readonly changes: number
}

export interface Compared {
  readonly lower: string | undefined
  readonly upper: string
  /** Whether the records have what a tar needs. */
  readonly detail: boolean
}

export class TreeComparison {
  readonly #port: TreePort
  readonly #handle: Handle
  readonly #signal: AbortSignal | undefined

  private constructor(port: TreePort, handle: Handle, signal: AbortSignal | undefined) {
    this.#port = port
    this.#handle = handle
    this.#signal = signal
  }

  static async open(compared: Compared, signal: AbortSignal | undefined): Promise<TreeComparison> {
    const port = nativePort()
    return new TreeComparison(port, await port.treeChangesOpen(compared, signal), signal)
  }

  /** All changes, in the order of the paths' bytes. Once for each comparison. */
  async records(onProgress: ((progress: ChangesProgress) => void) | undefined): Promise<TreeRecord[]> {
    const found: TreeRecord[] = []
    let changes = 0
    for (;;) {
      const { records, seen, last } = readBatch(await this.#port.treeChangesNext(this.#handle, this.#signal))
      for (const record of records) {
        found.push(record)
        if (record.kind !== 'U') changes++
      }
      onProgress?.({ entries: seen, changes })
      if (last) break
    }
    // Almost sorted already: only directories that changed because of what is in them are out of place.
    return found.sort((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0))
  }

  /** The parts, one behind the other. */
  async read(parts: readonly FilePart[]): Promise<Buffer> {
    const memory = Buffer.allocUnsafeSlow(parts.reduce((sum, part) => sum + part.lengthBytes, 0))
    if (memory.length > 0) await this.#port.treeRead(this.#handle, packParts(parts), memory, this.#signal)
    return memory
  }

  close(): Promise<void> {
    return this.#port.release(this.#handle)
  }
}
