// The files of an image's archive: read in place from an uncompressed file, and unpacked from a stream or a compressed file,
// with the same result.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { archiveInPlace } from '../../../lib/store/images/archive-file.js'
import type { ArchiveLimits } from '../../../lib/store/images/archive-index.js'
import { unpackedContents, type Contents } from '../../../lib/store/images/contents.js'
import { runForBytes } from '../../helpers/process/spawned.js'
import { rejection } from '../../helpers/errors/thrown.js'
import { archive, block, inPieces, members, useFolders, type Member } from '../../helpers/tree/archives.js'

const MIB = 2 ** 20
const folder = useFolders()
const LIMITS: ArchiveLimits = { maxBytes: 2 ** 30, maxEntries: 1000 }

function fileOf(bytes: Buffer): string {
  const file = path.join(folder('archive'), 'image.tar')
  writeFileSync(file, bytes)
  return file
}

async function inPlace(bytes: Buffer, limits: Partial<ArchiveLimits> = {}): Promise<Contents> {
  return (await archiveInPlace(fileOf(bytes), { ...LIMITS, ...limits }))!
}
const unpacked = (bytes: Buffer, limits: Partial<ArchiveLimits> = {}) =>
  unpackedContents(path.join(folder('staging'), 'one'), inPieces(bytes, 5000), { ...LIMITS, ...limits })

async function bytesOf(contents: Contents, name: string): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of contents.open(name)) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

const openArchives = () =>
  readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).endsWith('image.tar')
    } catch {
      return false // it was that of the list
    }
  })
afterEach(() => expect(openArchives()).toEqual([]))

const WAYS = [
  ['in place', inPlace],
  ['unpacked', unpacked],
] as const

describe.each(WAYS)('the files of an archive %s', (_, contentsOf) => {
  test('are found by their names and links, with their content', async () => {
    const [large, long] = [randomBytes(3 * MIB + 5), `${'n'.repeat(150)}/file`]
    const bytes = archive(
      { name: './', type: '5' },
      { name: './empty' },
      { name: 'blobs/large', content: large },
      { name: 'short', content: 'of a long name', pax: [['path', long]] },
      { name: Buffer.from('ä').toString('latin1'), content: 'of umlaut' },
      { name: 'old/layer.tar', type: '2', link: '../blobs/large' },
      { name: 'hard', type: '1', link: './old/layer.tar' },
      { name: 'loop', type: '2', link: 'loop' },
      { name: 'twice', content: 'first' },
      { name: 'twice', content: 'second' },
    )
    const contents = await contentsOf(bytes)
    const texts = await Promise.all(['empty', long, 'ä', './twice'].map(name => contents.document(name)))
    expect(texts.map(String)).toEqual(['', 'of a long name', 'of umlaut', 'second'])
    for (const name of ['blobs/large', 'old/layer.tar', 'hard']) {
      expect((await bytesOf(contents, name)).equals(large)).toBe(true)
    }
    expect(['loop', 'missing', 'blobs'].map(name => contents.has(name))).toEqual([false, false, false])
    expect(await rejection(() => bytesOf(contents, 'missing'))).toMatchObject({ code: 'DM_IMAGE' })
    await contents.close()
  })

  test.each(['gnu', 'pax', 'ustar', 'v7'])('are found in an archive of GNU tar in the format %s', async format => {
    const source = folder('source')
    mkdirSync(path.join(source, 'blobs'))
    const content = randomBytes(100_000)
    writeFileSync(path.join(source, 'blobs/a'), content)
    const name = format === 'v7' ? 'b' : 'b'.repeat(format === 'ustar' ? 90 : 200)
    writeFileSync(path.join(source, name), 'of b')
    const contents = await contentsOf(runForBytes('tar', ['-C', source, `--format=${format}`, '-c', '.']))
    expect((await bytesOf(contents, 'blobs/a')).equals(content)).toBe(true)
    expect(String(await contents.document(name))).toBe('of b')
    await contents.close()
  })

  const whole = archive({ name: 'a', content: 'of a' }, { name: 'b', content: Buffer.alloc(2000, 1) })
  test.each<[string, Buffer, Partial<ArchiveLimits>, string]>([
    ['is no archive', Buffer.alloc(10_000, 1), {}, 'DM_IMAGE'],
    ['ends within a file', whole.subarray(0, 2500), {}, 'DM_IMAGE'],
    ['ends within a header', whole.subarray(0, 1100), {}, 'DM_IMAGE'],
    ['has a wrong checksum', Buffer.concat([whole.subarray(0, 1024), Buffer.alloc(512, 7), whole]), {}, 'DM_IMAGE'],
    ['has a name with ..', archive({ name: '../a', content: 'x' }), {}, 'DM_IMAGE'],
    ['has a size that is no number', archive({ name: 'a', pax: [['size', 'x']] }), {}, 'DM_IMAGE'],
    ['has a file of almost 8 GiB that is not there', block({ name: 'a', size: 8 * 2 ** 30 - 1 }), {}, 'DM_LAYER_LIMIT'],
    ['has more bytes than maxBytes', whole, { maxBytes: 2003 }, 'DM_LAYER_LIMIT'],
    ['has more entries than maxEntries', whole, { maxEntries: 1 }, 'DM_LAYER_LIMIT'],
    ['is aborted', whole, { signal: AbortSignal.abort() }, 'ABORT_ERR'],
  ])('are rejected if it %s, and nothing is left', async (_, bytes, limits, code) => {
    expect(await rejection(() => contentsOf(bytes, limits))).toMatchObject({ code })
    expect(readdirSync(folder('staging'))).toEqual([])
  })

  test('end at the first two blocks of zeros', async () => {
    const bytes = Buffer.concat([archive({ name: 'a', content: 'first' }), archive({ name: 'a', content: 'second' })])
    const contents = await contentsOf(bytes)
    expect(String(await contents.document('a'))).toBe('first')
    await contents.close()
  })
})

describe('archiveInPlace', () => {
  /** The offset and the number of bytes of each read. */
  const reads: { readonly at: number | null; readonly bytes: number }[] = []
  let restore = () => {}
  beforeEach(async () => {
    const some = await open(__filename)
    const handles = Object.getPrototypeOf(some) as { read: (...args: unknown[]) => Promise<{ bytesRead: number }> }
    await some.close()
    const { read } = handles
    reads.length = 0
    handles.read = async function (this: FileHandle, ...args) {
      const result = await read.apply(this, args)
      reads.push({ at: args[3] as number | null, bytes: result.bytesRead })
      return result
    }
    restore = () => void (handles.read = read)
  })
  afterEach(() => restore())
  const readBytes = () => reads.reduce((sum, { bytes }) => sum + bytes, 0)

  test('reads the headers, and of the files only those that are asked for', async () => {
    const files: Member[] = ['a', 'b', 'c'].map(name => ({ name, content: randomBytes(4 * MIB) }))
    const bytes = archive(...files)
    const contents = await inPlace(bytes)
    expect(readBytes()).toBeLessThan(32 * 1024)
    reads.length = 0
    expect((await bytesOf(contents, 'b')).equals(files[1]!.content as Buffer)).toBe(true)
    expect(readBytes()).toBe(4 * MIB)
    expect(reads[0]!.at).toBe(members(files[0]!).length + 512)
    await contents.close()
    expect(existsSync(path.join(folder('staging'), 'one'))).toBe(false)
  })

  test('returns undefined for a compressed archive, of which it reads the beginning only', async () => {
    for (const bytes of [
      gzipSync(archive({ name: 'a' })),
      Buffer.from('BZh91AY&SY'),
      Buffer.from('28b52ffd00', 'hex'),
    ]) {
      expect(await archiveInPlace(fileOf(bytes), LIMITS)).toBeUndefined()
    }
    expect(readBytes()).toBeLessThan(20)
  })

  test('reads fewer bytes of a file that has become shorter', async () => {
    const bytes = archive({ name: 'a', content: randomBytes(2 * MIB) })
    const contents = await inPlace(bytes)
    writeFileSync(path.join(folder('archive'), 'image.tar'), bytes.subarray(0, MIB))
    expect((await bytesOf(contents, 'a')).length).toBe(MIB - 512)
    await contents.close()
  })
})
