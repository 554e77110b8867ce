// What unpacking takes of memory and work follows the archive's size, whatever it says.
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { applyTar, type ApplyOptions } from '../../../../lib/store/tar-read/apply-tar'
import { END, inPieces, archive, members, useFolders, type Member } from '../../../helpers/tree/archives'
import { rejection } from '../../../helpers/errors/thrown'

const folder = useFolders()

/** An archive of `count` times the same entry, which is in memory once. */
async function* repeated(member: Member, count: number, last: Buffer = END): AsyncGenerator<Uint8Array> {
  const bytes = members(member)
  for (let i = 0; i < count; i++) yield await Promise.resolve(bytes)
  yield last
}

async function* numbered(count: number, name: (i: number) => string): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield await Promise.resolve(members({ name: name(i) }))
  yield END
}

const apply = (stream: AsyncIterable<Uint8Array>, options: ApplyOptions = {}) =>
  applyTar(folder('root'), stream, { sync: false, ...options })

describe('the memory of applyTar', () => {
  const long = Array.from({ length: 400 }, () => 'directory').join('/')

  test('does not grow with the repetitions of a directory', async () => {
    const member: Member = { name: 'd', type: '5', mode: 0o755, time: 7, pax: [['path', long]] }
    expect(await apply(repeated(member, 1500), { maxMemoryBytes: 32_768 })).toMatchObject({ entries: 1500 })
    expect(statSync(path.join(folder('root'), long)).mtimeMs).toBe(7000)
  })

  test('grows with the number of names and not with their lengths, by at most 13 bytes each', async () => {
    const name = (i: number) => `${'n'.repeat(90)}${i}`
    expect(await apply(numbered(2000, name), { maxMemoryBytes: 26_000 })).toMatchObject({ entries: 2000 })
  })

  test('is limited by maxMemoryBytes: more rejects with DM_LAYER_LIMIT and names the entry', async () => {
    const error = await rejection(() =>
      apply(
        numbered(5000, i => `n/${i}`),
        { maxMemoryBytes: 30_000 },
      ),
    )
    expect(error).toMatchObject({ code: 'DM_LAYER_LIMIT', operation: 'memory' })
    expect(error.message).toMatch(/maxMemoryBytes, at entry "n\/\d+"/)
  })

  test('grows with the directories that are removed, and not with the files', async () => {
    const lower = path.join(folder('root'), 'lower')
    mkdirSync(lower)
    for (let i = 0; i < 800; i++) writeFileSync(path.join(lower, `${i}-${'f'.repeat(60)}`), '')
    await apply(inPieces(archive({ name: '.wh.lower' })), { maxMemoryBytes: 12_000 })
    expect(existsSync(lower)).toBe(false)
    for (let i = 0; i < 800; i++) mkdirSync(path.join(lower, `${i}-${'d'.repeat(60)}`), { recursive: true })
    const stream = inPieces(archive({ name: '.wh.lower' }))
    expect(await rejection(() => apply(stream, { maxMemoryBytes: 12_000 }))).toMatchObject({ code: 'DM_LAYER_LIMIT' })
  })
})

test('a whiteout hides a lower file whose name has the same unkeyed hash as a name in the layer', async () => {
  const lower = path.join(folder('root'), 'lower-file-name1')
  writeFileSync(lower, 'lower')
  await apply(inPieces(archive({ name: '0p1o_mb5LhzLZVY:' }, { name: '.wh.lower-file-name1' })))
  expect(existsSync(lower)).toBe(false)
})

describe('the times of directories', () => {
  const timed = (name: string, time: number): Member => ({ name, type: '5', mode: 0o755, time })
  const times = (...names: string[]) => names.map(name => statSync(path.join(folder('root'), name)).mtimeMs / 1000)

  test('are those of their last entries, regardless of later entries within them', async () => {
    const root = folder('root')
    mkdirSync(path.join(root, 'a/lower/deep'), { recursive: true })
    mkdirSync(path.join(root, 'a/b/c'), { recursive: true })
    writeFileSync(path.join(root, 'a/b/c/lower'), '')
    const list: Member[] = [
      timed('.', 1),
      timed('a', 99),
      timed('a/b', 3),
      timed('a/b/c', 4),
      { name: 'a/b/c/f' },
      { name: 'a/b/c/f', type: '2', link: 'g' },
      { name: 'm/n/f' },
      timed('m', 5),
      { name: 'm/n/g' },
      { name: 'm/g', type: '1', link: 'm/n/g' },
      timed('a', 2),
      { name: 'a/.wh.lower' },
      { name: '.wh.a' },
      { name: 'a/.wh..wh..opq' },
      { name: 'z' },
    ]
    await apply(inPieces(archive(...list)))
    expect(times('.', 'a', 'a/b', 'a/b/c', 'm')).toEqual([1, 2, 3, 4, 5])
    expect(existsSync(path.join(root, 'a/b/c/lower'))).toBe(false)
  })

  test('are those of the change for a directory of a lower layer without an entry', async () => {
    mkdirSync(path.join(folder('root'), 'a'))
    const [before] = times('a')
    await apply(inPieces(archive(timed('.', 1), { name: 'a/f' })))
    expect(times('a')[0]).toBeGreaterThan(before!)
    expect(times('.')).toEqual([1])
  })

  test('are preserved if an entry reaches the directory by a symbolic link', async () => {
    const list: Member[] = [
      timed('real', 7),
      { name: 'link', type: '2', link: 'real' },
      { name: 'link/f' },
      { name: 'g' },
    ]
    await apply(inPieces(archive(...list)))
    expect(times('real')).toEqual([7])
  })
})

test('missing folders of a long path are created below those that exist', async () => {
  const deep = (count: number) => Array.from({ length: count }, (_, i) => `${i}`).join('/')
  const root = folder('root')
  mkdirSync(path.join(root, deep(37)), { recursive: true })
  for (const name of [`${deep(41)}/f`, `${deep(90)}/f`, `x/${deep(3)}/f`, `${deep(36)}/y/f`]) {
    await apply(inPieces(archive({ name: 'f', pax: [['path', name]] })))
    expect(existsSync(path.join(root, name))).toBe(true)
  }
})
