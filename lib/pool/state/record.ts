// The record beside the pool of what the kernel does not keep: the pool's options, and the name, size and origin of
// each volume. It is a JSON file that the caller names; the kernel's metadata is authoritative.
import path from 'node:path'
import { DmThinError } from '../../base/errors.js'
import type { FilePort } from '../../kernel/port/file-port.js'
import { receivedIn, receivingIn, type PartialReceive, type Received } from './sent-states.js'
import { tableOptionsIn, type TableOptions } from './table-options.js'
import { count, list, object, text, type JsonObject } from '../../base/json-fields.js'

/** The recorded facts about a volume that the pool's metadata does not have. */
export interface VolumeRecord {
  readonly name: string
  /** Undefined for a snapshot of a volume whose size was unknown. */
  readonly sizeBytes?: number | undefined
  /** The thin id of the origin, if the volume is a snapshot. */
  readonly origin?: number | undefined
  readonly externalOrigin?: string | undefined
  /**
   * True while a call receives into this volume, and if it was interrupted and cannot continue: the next call deletes the
   * volume. An object if it can continue.
   */
  readonly receiving?: true | PartialReceive | undefined
  /** For a volume that was received: its state in the pool that has sent it, and in this one. */
  readonly received?: Received | undefined
}

/** The starts of the pool between which it was stopped without losing anything: clean-stop.ts. */
export interface RecordedStarts {
  /** The uuids of the pool's mapped device, the oldest first. */
  readonly uuids: readonly string[]
  /** The digest of the metadata at the stop; undefined while the last start runs, and if its stop was not clean. */
  readonly stopped?: string | undefined
}

export interface RecordContent {
  readonly pool: string
  readonly dataBlockBytes: number
  /** Length of the pool's data in bytes. */
  readonly dataBytes: number
  readonly options: TableOptions
  readonly volumes: ReadonlyMap<number, VolumeRecord>
  readonly starts?: RecordedStarts | undefined
}

type Change = (content: RecordContent) => RecordContent

interface Waiting {
  readonly change: Change
  readonly resolve: () => void
  readonly reject: (fault: unknown) => void
}

/** The format that is written and read. */
export const FORMAT = 1

export class PoolRecord {
  readonly #port: FilePort
  readonly #file: string
  readonly #waiting: Waiting[] = []
  #content: RecordContent
  #writing = false

  private constructor(port: FilePort, file: string, content: RecordContent) {
    this.#port = port
    this.#file = file
    this.#content = content
  }

  /** Replaces the contents of the file. */
  static async write(port: FilePort, file: string, content: RecordContent): Promise<PoolRecord> {
    const record = new PoolRecord(port, file, content)
    await record.change(() => content)
    return record
  }

  /** Opens the record. `isSame`: the file has this content already. */
  static async open(port: FilePort, file: string, content: RecordContent, isSame: boolean): Promise<PoolRecord> {
    return isSame ? new PoolRecord(port, file, content) : PoolRecord.write(port, file, content)
  }

  get file(): string {
    return this.#file
  }

  /** The content as of the last change through this object, or the last `read`. */
  get content(): RecordContent {
    return this.#content
  }

  /** Reads the changes of other processes. */
  async read(): Promise<RecordContent> {
    const found = await readRecord(this.#port, this.#file)
    if (typeof found === 'object') this.#content = found
    return this.#content
  }

  put(volumes: Iterable<readonly [id: number, volume: VolumeRecord]>): Promise<void> {
    const added = [...volumes]
    return this.change(content => ({ ...content, volumes: new Map([...content.volumes, ...added]) }))
  }

  drop(ids: Iterable<number>): Promise<void> {
    const dropped = new Set(ids)
    return this.change(content => ({
      ...content,
      volumes: new Map([...content.volumes].filter(([id]) => !dropped.has(id))),
    }))
  }

  /** Resolves when the change is on disk. Changes that arrive during a write are combined into the next write. */
  change(change: Change): Promise<void> {
    const done = new Promise<void>((resolve, reject) => this.#waiting.push({ change, resolve, reject }))
    if (!this.#writing) void this.#write()
    return done
  }

  async #write(): Promise<void> {
    this.#writing = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0)
      try {
        await this.#apply(batch.map(({ change }) => change))
        for (const { resolve } of batch) resolve()
      } catch (fault) {
        for (const { reject } of batch) reject(fault)
      }
    }
    this.#writing = false
  }

  /**
   * Applies changes. Other processes change the same file: the lock of its folder makes reading and replacing one step.
   */
  async #apply(changes: readonly Change[]): Promise<void> {
    const lock = await this.#port.lockNode(path.dirname(this.#file)).catch(notLocked)
    try {
      const found = await readRecord(this.#port, this.#file)
      let content = typeof found === 'object' ? found : this.#content
      for (const change of changes) content = change(content)
      await this.#port.replaceSmallFile(this.#file, format(content))
      this.#content = content
    } finally {
      await this.#port.release(lock)
    }
  }
}

/** Converts the error of a missing folder: without it, a record cannot be written either. */
function notLocked(fault: unknown): never {
  if (!(fault instanceof DmThinError)) throw fault
  throw fault.refined('DM_RECORD', `the record cannot be locked: ${fault.message}`)
}

/** Returns the content, `missing`, or `damaged` if the file is not a valid record. */
export async function readRecord(port: FilePort, file: string): Promise<RecordContent | 'missing' | 'damaged'> {
  const text = await port.readSmallFile(file)
  if (text === undefined) return 'missing'
  try {
    return parse(JSON.parse(text))
  } catch (fault) {
    if (fault instanceof SyntaxError || fault instanceof TypeError) return 'damaged'
    throw fault
  }
}

function format({ volumes, ...rest }: RecordContent): string {
  const list = [...volumes].sort(([a], [b]) => a - b).map(([id, volume]) => ({ id, ...volume }))
  return `${JSON.stringify({ format: FORMAT, ...rest, volumes: list })}\n`
}

/** Parses a record. Throws TypeError if it is invalid. */
function parse(value: unknown): RecordContent {
  const record = object(value)
  if (record['format'] !== FORMAT) throw new TypeError('another format')
  const volumes = list(record['volumes']).map(each => {
    const volume = object(each)
    const known: VolumeRecord = {
      name: text(volume['name']),
      ...(volume['sizeBytes'] === undefined ? {} : { sizeBytes: count(volume['sizeBytes']) }),
      ...(volume['origin'] === undefined ? {} : { origin: count(volume['origin']) }),
      ...(volume['externalOrigin'] === undefined ? {} : { externalOrigin: text(volume['externalOrigin']) }),
      ...(volume['receiving'] === undefined ? {} : { receiving: receivingIn(volume['receiving']) }),
      ...(volume['received'] === undefined ? {} : { received: receivedIn(object(volume['received'])) }),
    }
    return [count(volume['id']), known] as const
  })
  return {
    pool: text(record['pool']),
    dataBlockBytes: count(record['dataBlockBytes']),
    dataBytes: count(record['dataBytes']),
    options: tableOptionsIn(object(record['options'])),
    volumes: new Map(volumes),
    ...(record['starts'] === undefined ? {} : { starts: startsIn(object(record['starts'])) }),
  }
}

const startsIn = (starts: JsonObject): RecordedStarts => ({
  uuids: list(starts['uuids']).map(text),
  ...(starts['stopped'] === undefined ? {} : { stopped: text(starts['stopped']) }),
})

/** Throws if the record belongs to another pool, so that it is not overwritten. */
export function refuseForeignRecord(file: string, content: RecordContent, pool: string, dataBlockBytes: number): void {
  if (content.pool === pool && content.dataBlockBytes === dataBlockBytes) return
  const text = `${file} is the record of pool ${content.pool} with blocks of ${content.dataBlockBytes} bytes, not of ${pool} with ${dataBlockBytes}`
  throw new DmThinError('DM_POOL_MISMATCH', text, { device: pool, detail: file })
}
