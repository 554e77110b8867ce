// An archive that is given by its path: the memory of its pieces is used again, and what is unpacked is the same.
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { applyTar, type ApplyOptions } from '../../../../lib/store/tar-read/apply-tar'
import { fileChunks } from '../../../../lib/store/tar-read/layer-file'
import { rejection } from '../../../helpers/errors/thrown'
import { archive, inPieces, seen, sha256, useFolders, type Member } from '../../../helpers/tree/archives'
import { runForBytes as run } from '../../../helpers/process/spawned'

const folder = useFolders()

/** Entries of all kinds, whose headers and content lie across the ends of pieces. */
function manyEntries(): Buffer {
  const value = (length: number) => randomBytes(length).toString('hex')
  const list = Array.from({ length: 120 }, (_, at): Member[] => [
    { name: `d${at % 7}`, type: '5', mode: 0o755, time: at },
    { name: `d${at % 7}/${at}`, content: randomBytes((at * 7919) % 70_001), time: at },
    {
      name: 'replaced',
      content: value((at * 31) % 900),
      pax: [
        ['path', `${'n'.repeat(at)}${at}`],
        ['SCHILY.xattr.user.a', value(at * 12)],
        ['mtime', `${at}.5`],
      ],
    },
    { name: `l${at}`, type: '2', link: `target-${value(20)}` },
    { name: `d${at % 7}/.wh.${at - 14}` },
  ]).flat()
  return archive({ name: './', type: '5', mode: 0o755, time: 9 }, ...list)
}

function fileOf(bytes: Buffer): string {
  const file = path.join(folder('archive'), 'layer.tar')
  writeFileSync(file, bytes)
  return file
}

const apply = (name: string, source: string | AsyncIterable<Uint8Array>, options: ApplyOptions = {}) =>
  applyTar(folder(name), source, { sync: false, ...options })

test.each([700, 4096, 20_000, 65_536, 2 ** 20])(
  'a file in pieces of %i bytes is unpacked as a stream is, plain and compressed',
  async pieceBytes => {
    const bytes = manyEntries()
    const stream = await apply('stream', inPieces(bytes, pieceBytes))
    const plain = await apply('plain', fileChunks(fileOf(bytes), pieceBytes))
    const compressed = await apply('compressed', fileChunks(fileOf(gzipSync(bytes)), pieceBytes))
    expect(plain).toEqual(stream)
    expect(compressed).toMatchObject({ diffId: sha256(bytes), bytes: stream.bytes })
    const [expected, ...found] = ['stream', 'plain', 'compressed'].map(name => seen(folder(name)))
    expect(found.map(each => each === expected)).toEqual([true, true])
  },
)

test('a file of many MiB is unpacked with the content and the digests of its path', async () => {
  const content = randomBytes(24 * 2 ** 20 + 11)
  const bytes = archive({ name: 'large', content }, { name: 'after', content: 'after' })
  const file = fileOf(bytes)
  expect(await apply('root', file)).toMatchObject({ digest: sha256(bytes), diffId: sha256(bytes) })
  expect(readFileSync(path.join(folder('root'), 'large')).equals(content)).toBe(true)
})

test('a sparse file of GNU tar is unpacked from its path with its holes', async () => {
  const source = folder('source')
  const file = openSync(path.join(source, 'sparse'), 'w')
  for (let at = 0; at < 60; at++) writeSync(file, randomBytes(9000), 0, 9000, at * 400_000)
  closeSync(file)
  for (const format of ['gnu', 'pax']) {
    const bytes = run('tar', ['-C', source, '-S', `--format=${format}`, '-cf', '-', 'sparse'])
    await apply(format, fileChunks(fileOf(bytes), 3000))
    const [found, expected] = [folder(format), source].map(each => readFileSync(path.join(each, 'sparse')))
    expect(found!.equals(expected!)).toBe(true)
  }
})

test('a path that is not there, or of a directory, rejects, and nothing is unpacked', async () => {
  const missing = path.join(folder('archive'), 'missing.tar')
  expect(await rejection(() => apply('root', missing))).toMatchObject({ code: 'DM_FILE_MISSING', device: missing })
  mkdirSync(missing)
  expect(await rejection(() => apply('root', missing))).toMatchObject({ code: 'DM_KERNEL', device: missing })
  expect(await rejection(() => apply('root', ''))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
})

test('fileChunks closes the file at its end, and if it is given up', async () => {
  const file = fileOf(randomBytes(3 * 2 ** 20))
  const descriptors = () => run('sh', ['-c', `ls -l /proc/${process.pid}/fd | grep -c '${file}' || true`]).toString()
  const chunks = fileChunks(file)
  await chunks.next()
  expect(descriptors()).toBe('1\n')
  await chunks.return()
  expect(descriptors()).toBe('0\n')
  for await (const _ of fileChunks(file));
  expect(descriptors()).toBe('0\n')
})
