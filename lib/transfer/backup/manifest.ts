// The manifest of a backup: the volume, its state, and the pages that list its chunks.
import { count, list, object, text } from '../../base/json-fields.js'
import { checkName } from '../../base/options.js'
import { statesIn, type FrozenState } from '../../pool/state/sent-states.js'
import { invalidTransfer, parsed } from '../format.js'
import type { ChunkStore } from './chunk-store.js'
import { digestOf, PAGE_BYTES } from './pages.js'

/** The format that is written and read. */
export const FORMAT = 1
const DIGEST = /^[0-9a-f]{64}$/

/** A backup: what a volume contained when it was sent. */
export interface Manifest {
  /** The name of the pool that has sent it. */
  readonly pool: string
  readonly sizeBytes: number
  readonly dataBlockBytes: number
  /** The state of the volume that was sent. */
  readonly target: FrozenState
  /** The time at which the backup was saved, as ISO 8601. */
  readonly savedAt: string
  /** The digests of the pages, by their number. Pages without entries are left out. */
  readonly pages: ReadonlyMap<number, string>
}

/** Returns the bytes of a manifest: its digest in hexadecimal digits, a newline, and JSON. */
export function formatManifest({ pages, ...rest }: Manifest): Buffer {
  const body = Buffer.from(`${JSON.stringify({ format: FORMAT, ...rest, pageBytes: PAGE_BYTES, pages: [...pages] })}\n`)
  return Buffer.concat([Buffer.from(`${digestOf(body)}\n`), body])
}

/** Reads a manifest. Rejects with `DM_TRANSFER_INVALID`, `DM_INVALID_ARGUMENT` if it is not a name. */
export async function readManifest(store: ChunkStore, name: string): Promise<Manifest> {
  const bytes = await store.manifests.get(checkName(name))
  if (bytes === undefined) throw invalidTransfer('backup', `there is no backup ${name}`)
  const [head, body] = [Buffer.from(bytes.subarray(0, 65)).toString(), bytes.subarray(65)]
  if (head !== `${digestOf(body)}\n`) {
    throw invalidTransfer('damaged', `the manifest of backup ${name} does not have its digest`)
  }
  return parsed(`the manifest of backup ${name}`, body, value => {
    if (value['format'] !== FORMAT) throw invalidTransfer('version', `backup ${name} has another format`)
    if (value['pageBytes'] !== PAGE_BYTES) throw new TypeError('pages of another length')
    return {
      pool: text(value['pool']),
      sizeBytes: count(value['sizeBytes']),
      dataBlockBytes: count(value['dataBlockBytes']),
      target: statesIn({ target: object(value['target']) }).target,
      savedAt: text(value['savedAt']),
      pages: new Map(list(value['pages']).map(pageIn)),
    }
  })
}

function pageIn(value: unknown): readonly [number, string] {
  const [index, digest] = list(value)
  if (!DIGEST.test(text(digest))) throw new TypeError('a page without a digest')
  return [count(index), text(digest)]
}
