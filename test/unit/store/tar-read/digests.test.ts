// The digests of a layer of several MiB: by the OpenSSL of this Node on native threads, and by node:crypto without it.
import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { applyTar, type ApplyOptions } from '../../../../lib/store/tar-read/apply-tar'
import { rejection } from '../../../helpers/errors/thrown'
import { archive, inPieces, sha256, useFolders } from '../../../helpers/tree/archives'
import { useDigestHandles } from '../../../helpers/tree/digest-handles'

const MIB = 2 ** 20
const folder = useFolders()

const bytes = archive(
  { name: 'small', content: 'small' },
  { name: 'large', content: randomBytes(5 * MIB + 3) },
  { name: 'after', content: 'after' },
)
const FORMS = [
  ['plain', bytes],
  ['compressed', gzipSync(bytes, { level: 1 })],
] as const

const apply = (stream: AsyncIterable<Uint8Array>, options: ApplyOptions = {}) =>
  applyTar(folder('root'), stream, { sync: false, ...options })

/** The stream with another last byte. A tar ends with zeros that no entry needs; gzip ends with its length. */
async function* damagedAtTheEnd(whole: Buffer): AsyncGenerator<Uint8Array> {
  yield* inPieces(whole.subarray(0, -1))
  yield Buffer.from([whole.at(-1)! ^ 1])
}

describe.each([
  ['with the OpenSSL of Node', true],
  ['without OpenSSL', false],
])('applyTar %s', (_, isNative) => {
  useDigestHandles({ isNative })

  test.each(FORMS)('digests are those of the %s stream and of the archive in it', async (_, stream) => {
    for (const size of [1000, 65_536, 3 * MIB]) {
      const found = await apply(inPieces(stream, size))
      expect(found).toMatchObject({ digest: sha256(stream), diffId: sha256(bytes) })
    }
  })

  test.each(FORMS)(
    'digests that are expected are accepted, and others rejected, for a %s stream',
    async (_, stream) => {
      const right = { digest: sha256(stream), diffId: sha256(bytes) }
      await apply(inPieces(stream), right)
      for (const name of ['digest', 'diffId'] as const) {
        const error = await rejection(() => apply(inPieces(stream), { ...right, [name]: sha256(Buffer.from(name)) }))
        expect(error).toMatchObject({ code: 'DM_LAYER_DIGEST', detail: right[name] })
      }
    },
  )

  test('digests include the last byte after the end of the archive', async () => {
    const padded = Buffer.concat([bytes, Buffer.alloc(10_240)])
    const error = await rejection(() => apply(damagedAtTheEnd(padded), { diffId: sha256(padded) }))
    expect(error).toMatchObject({ code: 'DM_LAYER_DIGEST' })
  })

  test.each(FORMS)('digests are given up with an abort in the middle of a %s stream', async (_, stream) => {
    const controller = new AbortController()
    async function* aborting() {
      yield* inPieces(stream.subarray(0, -65_536))
      controller.abort()
      yield stream.subarray(-65_536)
    }
    const error = await rejection(() => apply(aborting(), { signal: controller.signal }))
    expect(error).toMatchObject({ code: 'ABORT_ERR' })
  })

  test('digests are given up with a stream that fails', async () => {
    const fault = new Error('the connection was closed')
    async function* failing() {
      yield* inPieces(bytes.subarray(0, 4 * MIB))
      throw fault
    }
    await expect(apply(failing())).rejects.toBe(fault)
  })
})
