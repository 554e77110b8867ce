// What a layer hides of lower ones, and what it does not: its own.
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { applyTar } from '../../../../lib/store/tar-read/apply-tar'
import { archive, inPieces, useFolders, type Member } from '../../../helpers/tree/archives'
import { rejection } from '../../../helpers/errors/thrown'

const folder = useFolders()

/** Lower layers, and upon them one of `list`: what is there in the end. */
async function upon(lower: Record<string, string>, list: Member[], options = {}): Promise<string[]> {
  const root = folder('root')
  for (const [name, content] of Object.entries(lower)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
    writeFileSync(path.join(root, name), content)
  }
  await applyTar(root, inPieces(archive(...list)), options)
  return (readdirSync(root, { recursive: true }) as string[]).sort()
}

const LOWER = { 'a/x': 'lower', 'a/y': 'lower', 'a/sub/z': 'lower', b: 'lower' }

test('a whiteout removes a name with its contents, and does nothing if the name is missing', async () => {
  expect(await upon(LOWER, [{ name: '.wh.a' }, { name: 'no/where/.wh.x' }, { name: '.wh.none' }])).toEqual(['b'])
  expect(await upon(LOWER, [{ name: 'a/.wh.x' }, { name: 'a/.wh.sub' }])).toEqual(['a', 'a/y', 'b'])
})

test('an entry of the layer itself is kept, before or after its whiteout', async () => {
  const own: Member = { name: 'a/x', content: 'own' }
  for (const list of [
    [own, { name: 'a/.wh.x' }],
    [{ name: 'a/.wh.x' }, own],
  ]) {
    expect(await upon(LOWER, list)).toContain('a/x')
    expect(readFileSync(path.join(folder('root'), 'a/x'), 'utf8')).toBe('own')
  }
})

test('a whiteout of a folder that the layer also has removes the entries of lower layers in it', async () => {
  const list = [{ name: 'a', type: '5', mode: 0o755 }, { name: 'a/new', content: 'own' }, { name: '.wh.a' }]
  expect(await upon(LOWER, list)).toEqual(['a', 'a/new', 'b'])
})

describe('an opaque folder', () => {
  test.each(['first', 'last'])('hides lower entries and keeps those of the layer, if it comes %s', async place => {
    const opaque = { name: 'a/.wh..wh..opq' }
    const own: Member[] = [
      { name: 'a/new', content: 'own' },
      { name: 'a/x', content: 'own' },
      { name: 'a/sub/deep/own', content: 'own' },
      { name: 'a/linked', type: '1', link: 'b' },
      { name: 'a/symlink', type: '2', link: 'x' },
    ]
    const list = place === 'first' ? [opaque, ...own] : [...own, opaque]
    const left = ['a', 'a/linked', 'a/new', 'a/sub', 'a/sub/deep', 'a/sub/deep/own', 'a/symlink', 'a/x', 'b']
    expect(await upon(LOWER, list)).toEqual(left)
  })

  test('hides the entries below an opaque root, and does nothing if the folder is missing', async () => {
    expect(await upon(LOWER, [{ name: 'own' }, { name: '.wh..wh..opq' }, { name: 'z/.wh..wh..opq' }])).toEqual(['own'])
  })

  test('keeps an entry that reached it by a symbolic link', async () => {
    const root = folder('root')
    mkdirSync(path.join(root, 'real'))
    writeFileSync(path.join(root, 'real/lower'), '')
    symlinkSync('real', path.join(root, 'link'))
    await applyTar(root, inPieces(archive({ name: 'link/own' }, { name: 'real/.wh..wh..opq' })))
    expect(readdirSync(path.join(root, 'real'))).toEqual(['own'])
  })

  test('hides a tree deeper than PATH_MAX', async () => {
    const root = folder('root')
    const long = Array.from({ length: 200 }, () => 'deep-folder').join('/')
    const down: Member[] = Array.from({ length: 6 }, (_, i) => [
      { name: `s${i}/f`, pax: [['path', `${i === 0 ? 'a' : `s${i}`}/${long}/f`]] as [string, string][] },
      { name: `s${i + 1}`, type: '2', pax: [['linkpath', `${i === 0 ? 'a' : `s${i}`}/${long}`]] as [string, string][] },
    ]).flat()
    await applyTar(root, inPieces(archive(...down)))
    await applyTar(root, inPieces(archive({ name: '.wh.a' })))
    expect(existsSync(path.join(root, 'a'))).toBe(false)
  })
})

test('the metadata files of aufs are not unpacked', async () => {
  const list = [
    { name: '.wh..wh.aufs' },
    { name: '.wh..wh.plnk/12.3', content: 'x' },
    { name: '.wh..wh.orph', type: '5' },
  ]
  expect(await upon({ b: '' }, list)).toEqual(['b'])
})

test('markers are unpacked as ordinary files with whiteouts: false', async () => {
  const found = await upon({ b: '' }, [{ name: '.wh.b' }, { name: '.wh..wh..opq' }], { whiteouts: false })
  expect(found).toEqual(['.wh..wh..opq', '.wh.b', 'b'])
})

test.each(['.wh.', '.wh..', '.wh...', 'a/.wh...', '.wh.a/b'])('the malformed whiteout %s is rejected', async name => {
  const root = folder('root')
  mkdirSync(path.join(root, 'a'))
  const error = await rejection(() => applyTar(path.join(root, 'a'), inPieces(archive({ name }))))
  expect(error.code).toBe('DM_LAYER_TAR')
  expect(readdirSync(root)).toEqual(['a'])
})
