// Archives of somebody who means harm. Whatever they say, nothing happens outside of the folder.
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { applyTar, type ApplyOptions } from '../../../../lib/store/tar-read/apply-tar'
import {
  archive,
  block,
  END,
  inPieces,
  members,
  sealed,
  seen,
  useFolders,
  type Member,
} from '../../../helpers/tree/archives'
import { rejection } from '../../../helpers/errors/thrown'

const folder = useFolders()

interface Outcome {
  /** Undefined where the archive was taken. */
  code: string | undefined
  root: string
}

/**
 * The archive in a folder beside which lies another one that somebody would like to reach. Whether it was refused or
 * not, that one is as it was.
 */
async function harmless(bytes: Buffer, options: ApplyOptions = {}): Promise<Outcome> {
  const base = folder('base')
  const root = folder('base/root')
  writeFileSync(path.join(folder('base/outside'), 'secret'), 'secret')
  const before = seen(path.join(base, 'outside'))
  const code = await applyTar(root, inPieces(bytes), options).then(
    () => undefined,
    (fault: { code: string }) => fault.code,
  )
  expect(seen(path.join(base, 'outside'))).toBe(before)
  expect(readdirSync(base).sort()).toEqual(['outside', 'root'])
  return { code, root }
}
const refused = async (...list: Member[]) => (await harmless(archive(...list))).code

describe('a name that leads out of the root', () => {
  test.each(['../outside/x', '..', 'a/../../outside/x', './../x', 'a/..', '/../x', 'a/../b'])(
    'is rejected: %s',
    async name => {
      expect(await refused({ name, content: 'evil' })).toBe('DM_LAYER_TAR')
      expect(await refused({ name: 'plain', content: 'evil', pax: [['path', name]] })).toBe('DM_LAYER_TAR')
      expect(await refused({ name, type: '5' })).toBe('DM_LAYER_TAR')
      expect(await refused({ name: 'l', type: '1', link: name })).toBe('DM_LAYER_TAR')
    },
  )

  test('is taken relative to the root if it is absolute', async () => {
    const { code, root } = await harmless(archive({ name: '/tmp/dm-thin-evil', content: 'x' }))
    expect(code).toBeUndefined()
    expect(existsSync('/tmp/dm-thin-evil')).toBe(false)
    expect(readdirSync(path.join(root, 'tmp'))).toEqual(['dm-thin-evil'])
  })
})

describe('a symbolic link in the middle of a name', () => {
  const outside = (list: Member[]) => harmless(archive(...list))

  test('is resolved within the root if it leads out', async () => {
    for (const link of ['../outside', '../../../../../../../../tmp', '/', '/tmp', '..', 'a/../../../..']) {
      const { root } = await outside([
        { name: 'l', type: '2', link },
        { name: 'l/evil', content: 'x' },
        { name: 'l/d', type: '5' },
        { name: 'l/n', type: '6' },
        { name: 'l/s', type: '2', link: '/etc/passwd' },
        { name: 'l/.wh.secret' },
        { name: 'l/.wh..wh..opq' },
        { name: 'l/h', type: '1', link: 'l/evil' },
      ])
      expect(existsSync('/tmp/evil')).toBe(false)
      expect(existsSync('/evil')).toBe(false)
      expect(readdirSync(root)).not.toContain('outside')
    }
  })

  test('is resolved within the root if the folder already has it', async () => {
    const root = folder('base/root')
    symlinkSync(folder('base/outside'), path.join(root, 'out'))
    const { code } = await harmless(archive({ name: 'out/secret', content: 'evil' }))
    expect(code).toBe('DM_LAYER_TAR')
  })

  test('stays within the root in a chain of links, in a loop, and in place of a folder', async () => {
    const chain: Member[] = [
      { name: 'a', type: '2', link: 'b' },
      { name: 'b', type: '2', link: '../outside' },
      { name: 'a/secret', content: 'evil' },
    ]
    expect((await outside(chain)).code).toBe('DM_LAYER_TAR')
    const circle: Member[] = [
      { name: 'x', type: '2', link: 'y' },
      { name: 'y', type: '2', link: 'x' },
      { name: 'x/z', content: 'evil' },
    ]
    expect((await outside(circle)).code).toBe('DM_LAYER_TAR')
    const exchanged: Member[] = [
      { name: 'd', type: '5' },
      { name: 'd/first', content: '1' },
      { name: 'd', type: '2', link: '../outside' },
      { name: 'd/secret', content: 'evil' },
    ]
    expect((await outside(exchanged)).code).toBe('DM_LAYER_TAR')
  })

  test('reaches nothing outside the root through a link of /proc', async () => {
    const { root } = await outside([
      { name: 'p', type: '2', link: '/proc/self/root' },
      { name: 'p/dm-thin-evil', content: 'x' },
    ])
    expect(existsSync('/dm-thin-evil')).toBe(false)
    expect(lstatSync(path.join(root, 'p')).isSymbolicLink()).toBe(true)
  })
})

describe('a symbolic link at the end of a name', () => {
  test('is replaced, and its target stays untouched', async () => {
    for (const second of [{ content: 'evil' }, { type: '5', mode: 0o777 }, { type: '6' }, { type: '2', link: 'z' }]) {
      const target = '../outside/secret'
      const list = [
        { name: 'l', type: '2', link: target },
        { ...second, name: 'l', uid: 666, mode: 0o777 },
      ]
      const { code, root } = await harmless(archive(...list))
      expect(code).toBeUndefined()
      expect(lstatSync(path.join(root, 'l')).uid).toBe(666)
    }
  })

  test('has its attributes set on the link and not on its target', async () => {
    const list = [{ name: 'l', type: '2', link: '../outside/secret', uid: 666, mode: 0o777, time: 1 }]
    expect((await harmless(archive(...list))).code).toBeUndefined()
  })
})

describe('a hard link', () => {
  test('is rejected if it leads out through a symbolic link', async () => {
    for (const link of ['../outside', folder('base/outside')]) {
      const list = [
        { name: 'd', type: '2', link },
        { name: 'h', type: '1', link: 'd/secret' },
      ]
      const { code } = await harmless(archive(...list, { name: 'h', content: 'evil' }))
      expect(code).toBe('DM_LAYER_TAR')
    }
  })

  test('links to a symbolic link itself, and is rejected if its target is a folder, missing, or the root', async () => {
    const list: Member[] = [
      { name: 'l', type: '2', link: '../outside/secret' },
      { name: 'h', type: '1', link: 'l' },
      { name: 'h', content: 'evil' },
    ]
    expect((await harmless(archive(...list))).code).toBeUndefined()
    expect(await refused({ name: 'd', type: '5' }, { name: 'h', type: '1', link: 'd' })).toBe('DM_LAYER_TAR')
    expect(await refused({ name: 'h', type: '1', link: 'none/there' })).toBe('DM_LAYER_TAR')
    expect(await refused({ name: 'h', type: '1', link: './' })).toBe('DM_LAYER_TAR')
    expect(await refused({ name: 'h', type: '1', link: '' })).toBe('DM_LAYER_TAR')
  })
})

describe('invalid names', () => {
  test('are rejected: with a NUL, too long, below a file, or of the root', async () => {
    expect(await refused({ name: 'n', pax: [['path', 'a\0b']] })).toBe('DM_LAYER_TAR')
    expect(await refused({ name: 'n', pax: [['path', 'x'.repeat(256)]] })).toBe('DM_LAYER_TAR')
    expect(await refused({ name: 'n', pax: [['path', 'long/'.repeat(900)]] })).toBe('DM_LAYER_TAR')
    expect(await refused({ name: 'n', type: '2', pax: [['linkpath', 'x'.repeat(5000)]] })).toBe('DM_LAYER_TAR')
    expect(await refused({ name: 'f' }, { name: 'f/g' })).toBe('DM_LAYER_TAR')
    expect(await refused({ name: './', pax: [['path', '.']], type: '0' })).toBe('DM_LAYER_TAR')
    expect(await refused({ name: 's', type: '2', link: '' })).toBe('DM_LAYER_TAR')
  })

  test('are reported with the errno of the kernel', async () => {
    const bytes = archive({ name: 'n', pax: [['path', 'x'.repeat(256)]] })
    const error = await rejection(() => applyTar(folder('root'), inPieces(bytes)))
    expect(error).toMatchObject({ code: 'DM_LAYER_TAR', operation: 'create', errno: 36 })
  })
})

describe('invalid headers', () => {
  test('are rejected: unknown entry types, and global records that change entries', async () => {
    for (const type of ['V', 'M', 'D', 'A', 'X', 'Z']) expect(await refused({ name: 'x', type })).toBe('DM_LAYER_TAR')
    const records = (key: string) => ({ name: 'g', type: 'g', content: `${key.length + 6} ${key}=1\n`.padEnd(0) })
    for (const key of ['path', 'size', 'SCHILY.xattr.user.x', 'GNU.sparse.map']) {
      const text = records(key).content
      const content = `${text.length} ${text.slice(text.indexOf(' ') + 1)}`
      expect(await refused({ name: 'g', type: 'g', content }, { name: 'x' })).toBe('DM_LAYER_TAR')
    }
    expect(await refused({ name: 'g', type: 'g', content: '13 comment=x\n' }, { name: 'x' })).toBeUndefined()
  })

  test('are rejected: wrong checksums, numbers and records', async () => {
    const wrongSum = block({ name: 'x' })
    wrongSum[0] = 0x79
    expect((await harmless(Buffer.concat([wrongSum, END]))).code).toBe('DM_LAYER_TAR')
    for (const [at, length, text] of [
      [124, 12, 'nonsense'],
      [108, 8, 'nonsense'],
      [136, 12, 'nonsense'],
    ] as const) {
      const header = block({ name: 'x' })
      header.fill(0, at, at + length).write(text, at)
      expect((await harmless(Buffer.concat([sealed(header), END]))).code).toBe('DM_LAYER_TAR')
    }
    for (const [key, value] of [
      ['size', '12x'],
      ['size', '-1'],
      ['uid', '4294967295'],
      ['uid', '-1'],
      ['gid', 'root'],
      ['mtime', 'yesterday'],
      ['mtime', '1e9'],
      ['GNU.sparse.major', '7'],
      ['GNU.sparse.map', '0,1,0,1'],
    ] as const) {
      expect(await refused({ name: 'x', pax: [[key, value]] })).toBe('DM_LAYER_TAR')
    }
    for (const content of ['9 a=b\n', '0 a=b\n', 'x', '6 a=bc\n', '6 abc\n', '5 =b\n', '999999 a=b\n']) {
      const records = { name: 'p', type: 'x', content }
      expect({ content, code: await refused(records, { name: 'x' }) }).toEqual({ content, code: 'DM_LAYER_TAR' })
    }
  })

  test('are rejected: invalid maps of sparse files', async () => {
    const sparse = (size: number, map: string, content = '') =>
      refused({
        name: 'x',
        content,
        pax: [
          ['GNU.sparse.size', `${size}`],
          ['GNU.sparse.map', map],
        ],
      })
    expect(await sparse(10, '0,4', 'four')).toBeUndefined()
    expect(await sparse(10, '0,4,2,4', 'overlaps')).toBe('DM_LAYER_TAR')
    expect(await sparse(10, '8,4', 'four')).toBe('DM_LAYER_TAR')
    expect(await sparse(10, '0,5', 'four')).toBe('DM_LAYER_TAR')
    expect(await sparse(10, '0,3', 'four')).toBe('DM_LAYER_TAR')
    expect(await sparse(10, '0,x', 'four')).toBe('DM_LAYER_TAR')
    expect(await sparse(10, '0', '')).toBe('DM_LAYER_TAR')
    const stored = (content: string) =>
      refused({
        name: 'x',
        content: content.padEnd(512, '\0'),
        pax: [
          ['GNU.sparse.major', '1'],
          ['GNU.sparse.minor', '0'],
          ['GNU.sparse.realsize', '9'],
        ],
      })
    for (const map of ['', '9999999\n', '2\n0\n', 'x\n', '1\n0\nx\n', '-1\n'])
      expect(await stored(map)).toBe('DM_LAYER_TAR')
  })

  test('are rejected: invalid device numbers', async () => {
    expect(await refused({ name: 'x', type: '3', major: 0o777777 })).toBe('DM_LAYER_TAR')
    const { code, root } = await harmless(archive({ name: 'x', type: '6', size: 512 }, { name: 'y' }))
    expect(code).toBeUndefined()
    expect(readdirSync(root).sort()).toEqual(['x', 'y'])
  })
})

describe('a truncated archive', () => {
  const whole = members({ name: 'a', content: 'x'.repeat(700) }, { name: 'b', content: 'y', pax: [['mtime', '1']] })

  test('rejects with DM_LAYER_TAR if it is cut off at any multiple of 128 bytes', async () => {
    for (let at = 0; at < whole.length; at += 128) {
      expect({ at, code: (await harmless(whole.subarray(0, at))).code }).toEqual({ at, code: 'DM_LAYER_TAR' })
    }
  })

  test('rejects if a zero block is between entries; bytes after the end are ignored', async () => {
    const between = Buffer.concat([members({ name: 'a' }), Buffer.alloc(512), archive({ name: 'b' })])
    expect((await harmless(between)).code).toBe('DM_LAYER_TAR')
    const { code, root } = await harmless(Buffer.concat([archive({ name: 'a' }), archive({ name: '../b' })]))
    expect(code).toBeUndefined()
    expect(readdirSync(root)).toEqual(['a'])
  })
})

test('applyTar rejects an entry below a mount in the root, and writes nothing there', async () => {
  const bytes = archive({ name: 'proc/sys/kernel/hostname', content: 'evil' })
  const before = readFileSync('/proc/sys/kernel/hostname', 'utf8')
  const error = await rejection(() => applyTar('/', inPieces(bytes)))
  expect(error).toMatchObject({ code: 'DM_LAYER_TAR', operation: 'openat2', errno: 18 })
  expect(readFileSync('/proc/sys/kernel/hostname', 'utf8')).toBe(before)
})

test('applyTar rejects an invalid root', async () => {
  const file = path.join(folder('root'), 'file')
  writeFileSync(file, '')
  mkdirSync(path.join(folder('root'), 'd'))
  const end = () => inPieces(archive())
  expect(await rejection(() => applyTar(file, end()))).toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
  expect(await rejection(() => applyTar(`${file}-none`, end()))).toMatchObject({ code: 'DM_FILE_MISSING' })
})
