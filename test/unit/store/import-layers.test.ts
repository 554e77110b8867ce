// The layers of an image, read ahead while the layer below is completed: into folders of this machine, without a pool.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { DmThinError } from '../../../lib/entry/index.js'
import type { Lease } from '../../../lib/store/engine/leases.js'
import { AHEAD_BYTES, importLayers, type Layers } from '../../../lib/store/images/import-layers.js'
import type { ImportOptions } from '../../../lib/store/images/import-options.js'
import { archive, inPieces, sha256, useFolders } from '../../helpers/tree/archives.js'
import { useDigestHandles } from '../../helpers/tree/digest-handles.js'

const MIB = 2 ** 20
const LONG_MS = 400
const folder = useFolders()
useDigestHandles()

/** The content of one layer, and how much of it has been read. */
class Blob {
  readonly plain: Buffer
  readonly bytes: Buffer
  readonly digests: { readonly digest: string; readonly diffId: string }
  readBytes = 0
  isOpen = false
  wasOpened = false
  readonly #whenRead: { readonly bytes: number; readonly done: () => void }[] = []

  constructor(name: string, sizeBytes: number, compressed: boolean) {
    this.plain = archive({ name, content: randomBytes(sizeBytes) })
    this.bytes = compressed ? gzipSync(this.plain, { level: 0 }) : Buffer.from(this.plain)
    this.digests = { digest: sha256(this.bytes), diffId: sha256(this.plain) }
  }

  /** Waits until so many bytes have been asked for. */
  read(bytes = this.bytes.length): Promise<void> {
    return new Promise(done => {
      this.#whenRead.push({ bytes, done })
      this.#tell()
    })
  }

  async *open(): AsyncGenerator<Uint8Array> {
    this.isOpen = this.wasOpened = true
    try {
      for await (const piece of inPieces(this.bytes, MIB)) {
        this.readBytes += piece.length
        this.#tell()
        yield piece
      }
    } finally {
      this.isOpen = false
    }
  }

  #tell(): void {
    for (const { bytes, done } of this.#whenRead) if (this.readBytes >= bytes) done()
  }
}

interface Scene {
  readonly blobs: readonly Blob[]
  readonly options?: ImportOptions
  /** Called between the unpacking of a layer and its completion. */
  readonly complete: (at: number) => Promise<unknown>
  /** The numbers of the layers that exist. */
  readonly existing?: readonly number[]
}

/** Imports an image of these layers. Returns what was called, in order. */
async function run({ blobs, options = {}, complete, existing = [] }: Scene) {
  const calls: string[] = []
  let taken = 0
  const lease = async (): Promise<Lease> => {
    taken += 1
    return { release: async () => void (taken -= 1) } as Lease
  }
  const keys: string[] = []
  const store: Layers = {
    keepLayer: async key => {
      keys.push(key)
      if (existing.includes(keys.length - 1)) return lease()
      throw new DmThinError('DM_LAYER_NOT_FOUND', key)
    },
    addLayer: async (_key, _parent, fill) => {
      const at = keys.length - 1
      await fill(folder(`layer-${at}`))
      calls.push(`unpacked ${at}`)
      await complete(at)
      calls.push(`completed ${at}`)
      return lease()
    },
  }
  const contents = { open: (name: string) => blobs[Number(name)]!.open() }
  const layers = blobs.map(({ digests }, at) => ({ path: String(at), ...digests }))
  const outcome = await importLayers(store, contents, { layers }, options).then(
    value => ({ keys: value, fault: undefined }),
    (fault: unknown) => ({ keys: undefined, fault }),
  )
  expect(taken).toBe(0)
  for (let turn = 0; blobs.some(({ isOpen }) => isOpen) && turn < 1000; turn++) await nextTurn()
  expect(blobs.filter(({ isOpen }) => isOpen)).toEqual([])
  return { ...outcome, calls }
}

const three = (compressed: boolean, sizeBytes = 3 * MIB) =>
  ['a', 'b', 'c'].map(name => new Blob(name, sizeBytes, compressed))

describe.each([
  ['plain', false],
  ['compressed', true],
])('importLayers of %s layers', (_, compressed) => {
  test('reads a layer while the one below it is completed, and unpacks it afterwards', async () => {
    const blobs = three(compressed)
    const { keys, calls } = await run({ blobs, complete: async at => blobs[at + 1]?.read() })
    expect(keys).toHaveLength(3)
    expect(calls).toEqual([0, 1, 2].flatMap(at => [`unpacked ${at}`, `completed ${at}`]))
    for (const [at, name] of ['a', 'b', 'c'].entries()) {
      const content = readFileSync(path.join(folder(`layer-${at}`), name))
      expect(content.equals(blobs[at]!.plain.subarray(512, 512 + content.length))).toBe(true)
    }
  })

  test('reads no more than its bound ahead, and only the next layer', async () => {
    const blobs = three(compressed, 2 * AHEAD_BYTES)
    const most: number[] = []
    const complete = async (at: number) => {
      const next = blobs[at + 1]
      if (!next) return
      await next.read(AHEAD_BYTES)
      await sleep(LONG_MS) // as long as reading the rest would take, without a bound
      most.push(next.readBytes)
      expect(blobs[at + 2]?.wasOpened ?? false).toBe(false)
    }
    expect((await run({ blobs, complete })).keys).toHaveLength(3)
    expect(most).toHaveLength(2)
    // One piece that was asked for, and for the decompressor another one.
    for (const bytes of most) expect(bytes).toBeLessThanOrEqual(AHEAD_BYTES + 3 * MIB)
  })

  test('closes the next layer if the completion of a layer fails', async () => {
    const blobs = three(compressed, 2 * AHEAD_BYTES)
    const failure = new DmThinError('DM_POOL_FULL', 'no space')
    const complete = async () => {
      await blobs[1]!.read(2 * MIB)
      throw failure
    }
    const { fault, calls } = await run({ blobs, complete })
    expect(fault).toBe(failure)
    expect(calls).toEqual(['unpacked 0'])
  })

  test('closes the next layer with an abort while a layer is completed', async () => {
    const blobs = three(compressed, 2 * AHEAD_BYTES)
    const controller = new AbortController()
    const complete = async () => {
      await blobs[1]!.read(2 * MIB)
      controller.abort()
    }
    const { fault, calls } = await run({ blobs, complete, options: { signal: controller.signal } })
    expect(fault).toMatchObject({ code: 'ABORT_ERR' })
    expect(calls).toEqual(['unpacked 0', 'completed 0'])
  })

  test('completes a layer if the next one is damaged, and rejects with the error of that one', async () => {
    const blobs = three(compressed)
    const { bytes } = blobs[1]!
    bytes[compressed ? bytes.length - 4 : MIB]! ^= 1 // the length at the end of gzip, or the content of the file
    const { fault, calls } = await run({ blobs, complete: async at => blobs[at + 1]?.read() })
    expect(fault).toMatchObject({ code: compressed ? 'DM_LAYER_TAR' : 'DM_LAYER_DIGEST' })
    expect(calls).toEqual(['unpacked 0', 'completed 0'])
  })
})

test('importLayers reads no layer that exists, and closes one that appears while it is read ahead', async () => {
  const blobs = three(true)
  const nothing = await run({ blobs, complete: async () => {}, existing: [0, 1, 2] })
  expect([nothing.keys?.length, nothing.calls, blobs.some(({ wasOpened }) => wasOpened)]).toEqual([3, [], false])
  const { keys, calls } = await run({ blobs, complete: async at => blobs[at + 1]?.read(MIB), existing: [1] })
  expect(keys).toHaveLength(3)
  expect(calls).toEqual(['unpacked 0', 'completed 0', 'unpacked 2', 'completed 2'])
})

test('importLayers completes a layer if the next one cannot be opened', async () => {
  const blobs = three(false)
  const [, second] = blobs
  const failure = new DmThinError('DM_IMAGE', 'it does not exist')
  const opened = new Promise<void>(resolve => {
    second!.open = async function* () {
      resolve()
      throw failure
    }
  })
  const { fault, calls } = await run({ blobs, complete: () => opened })
  expect(fault).toBe(failure)
  expect(calls).toEqual(['unpacked 0', 'completed 0'])
})
