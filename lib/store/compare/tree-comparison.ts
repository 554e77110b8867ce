// The comparison of two trees: both stay open while they are compared and while changed files are read.
import { nativePort } from '../../kernel/native-port.js'
import type { MachinePort } from '../../kernel/port/machine-port.js'
import type { Handle } from '../../kernel/port/handle.js'
import { packParts, readBatch, type FilePart, type TreeRecord } from './tree-record.js'

/** The amount that `changes` has compared so far. */
export interface ChangesProgress {
  /** The number of entries that have been compared. */
  readonly entries: number
  /** The number of changes that have been found. */
  readonly changes: number
}

interface Compared {
  readonly lower: string | undefined
  readonly upper: string
  /** True if the records need the details for a tar. */
  readonly detail: boolean
}

/** An open comparison of two trees. */
export class TreeComparison {
  readonly #port: MachinePort
  readonly #handle: Handle
  readonly #signal: AbortSignal | undefined

  private constructor(port: MachinePort, handle: Handle, signal: AbortSignal | undefined) {
    this.#port = port
    this.#handle = handle
    this.#signal = signal
  }

  static async open(compared: Compared, signal: AbortSignal | undefined): Promise<TreeComparison> {
    const port = nativePort()
    return new TreeComparison(port, await port.treeChangesOpen(compared, signal), signal)
  }

  /** Returns all changes, in the order of the bytes of their paths. Call it once for each comparison. */
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
    // The records are almost sorted: only directories that changed because of their content are out of order.
    return found.sort((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0))
  }

  /** Reads parts of files. Returns their bytes, one part after the other. */
  async read(parts: readonly FilePart[]): Promise<Buffer> {
    const memory = Buffer.allocUnsafeSlow(parts.reduce((sum, part) => sum + part.lengthBytes, 0))
    if (memory.length > 0) await this.#port.treeRead(this.#handle, packParts(parts), memory, this.#signal)
    return memory
  }

  close(): Promise<void> {
    return this.#port.release(this.#handle)
  }
}
