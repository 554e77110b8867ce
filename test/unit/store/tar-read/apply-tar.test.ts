// A layer's archive in a folder, against what GNU tar makes of the same one.
import { closeSync, ftruncateSync, linkSync, lstatSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import {
  chmodSync,
  chownSync,
  lutimesSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { applyTar } from '../../../../lib/store/tar-read/apply-tar'
import {
  archive,
  block,
  END,
  inPieces,
  members,
  sealed,
  seen,
  sha256,
  unpackedByTar,
  useFolders,
  type Member,
} from '../../../helpers/tree/archives'
import { runForBytes as run } from '../../../helpers/process/spawned'

const folder = useFolders()
const ROOT: Member = { name: './', type: '5', mode: 0o755 }

async function applied(bytes: Buffer, into: string, pieces?: number) {
  return applyTar(into, inPieces(bytes, pieces))
}

/** Both make the same of it. */
async function expectSame(bytes: Buffer, pieces?: number): Promise<string> {
  const [ours, theirs] = [folder('ours'), folder('theirs')]
  unpackedByTar(bytes, theirs)
  await applied(bytes, ours, pieces)
  expect(seen(ours)).toBe(seen(theirs))
  return ours
}

/** A tree that has something of everything. */
function variety(): string {
  const tree = folder('source')
  const at = (name: string) => path.join(tree, name)
  mkdirSync(at('usr/bin'), { recursive: true })
  writeFileSync(at('usr/bin/tool'), 'tool')
  chownSync(at('usr/bin/tool'), 1000, 2000)
  chmodSync(at('usr/bin/tool'), 0o6755)
  linkSync(at('usr/bin/tool'), at('usr/bin/zool'))
  symlinkSync('../bin/tool', at('usr/bin/link'))
  writeFileSync(at('empty'), '')
  writeFileSync(at('exact'), Buffer.alloc(1024, 'x'))
  writeFileSync(at('large'), Buffer.alloc(3_000_001, 'large '))
  writeFileSync(at('no-rights'), 'secret', { mode: 0 })
  mkdirSync(at('sticky'))
  chmodSync(at('sticky'), 0o3777)
  const deep = Array.from({ length: 9 }, (_, i) => `${i}`.repeat(30)).join('/')
  mkdirSync(at(deep), { recursive: true })
  writeFileSync(path.join(tree, deep, 'x'.repeat(200)), 'deep')
  symlinkSync('y'.repeat(300), at('long-link'))
  run('mkfifo', [at('fifo')])
  run('mknod', [at('null'), 'c', '1', '3'])
  run('mknod', [at('block'), 'b', '7', '300'])
  utimesSync(at('exact'), 1.5, 1234.567891)
  lutimesSync(at('long-link'), 3, 4.25)
  utimesSync(at('usr/bin'), 1, 99.5)
  utimesSync(at('usr'), 1, 98.5)
  return tree
}

describe.each(['gnu', 'posix', 'oldgnu'])('an archive of GNU tar, format %s', format => {
  test.each(['', '--gzip'])('is unpacked as GNU tar unpacks it (compression: "%s")', async compression => {
    const words = ['-C', variety(), `--format=${format}`, '--numeric-owner', ...(compression ? [compression] : [])]
    await expectSame(run('tar', [...words, '-c', '.']))
  })
})

test.each(['ustar', 'v7'])('an archive of GNU tar, format %s, is unpacked as GNU tar unpacks it', async format => {
  const tree = folder('source')
  mkdirSync(path.join(tree, 'a/b'), { recursive: true })
  writeFileSync(path.join(tree, 'a/b/c'), 'content')
  symlinkSync('b/c', path.join(tree, 'a/link'))
  linkSync(path.join(tree, 'a/b/c'), path.join(tree, 'a/other'))
  if (format === 'ustar') {
    const long = path.join(tree, 'p'.repeat(90))
    mkdirSync(long)
    writeFileSync(path.join(long, 'q'.repeat(90)), 'long')
  }
  await expectSame(run('tar', ['-C', tree, `--format=${format}`, '-c', '.']))
})

test('an archive of libarchive, format pax, is unpacked as GNU tar unpacks it', async () => {
  const words = ['-C', variety(), '--format=pax', '--numeric-owner', '-cf', '-', '.']
  await expectSame(run('bsdtar', words))
})

test.each([1, 7, 511, 512, 513, 10_000])(
  'a stream in pieces of %d bytes is unpacked as GNU tar unpacks it',
  async size => {
    const content = Buffer.from(Array.from({ length: 30_000 }, (_, i) => i % 251))
    const list: Member[] = [
      { name: 'a', content },
      { name: 'b', content: 'b', pax: [['mtime', '5.25']] },
      { name: 'c', content: content.subarray(0, 512) },
    ]
    const ours = await expectSame(archive(ROOT, ...list), size)
    expect(readFileSync(path.join(ours, 'a'))).toEqual(content)
  },
)

test('applyTar returns digest, diffId, entries and bytes, and reports progress', async () => {
  const plain = archive({ name: 'a', content: 'four' }, { name: 'd', type: '5' })
  const told: unknown[] = []
  const packed = gzipSync(plain)
  const result = await applyTar(folder('ours'), inPieces(packed), { onProgress: progress => told.push(progress) })
  expect(result).toEqual({ digest: sha256(packed), diffId: sha256(plain), entries: 2, bytes: 4 })
  expect(told.at(-1)).toEqual({ entries: 2, bytes: 4 })
  const again = await applyTar(folder('again'), inPieces(plain), { sync: false, ...{ digest: sha256(plain) } })
  expect(again).toMatchObject({ digest: sha256(plain), diffId: sha256(plain) })
})

test('applyTar accepts gzip data of several members, and padding after the end', async () => {
  const plain = Buffer.concat([archive({ name: 'a', content: 'x' }), Buffer.alloc(8192)])
  const packed = Buffer.concat([gzipSync(plain.subarray(0, 700)), gzipSync(plain.subarray(700))])
  const ours = folder('ours')
  expect(await applied(packed, ours, 100)).toMatchObject({ digest: sha256(packed), diffId: sha256(plain) })
  expect(readdirSync(ours)).toEqual(['a'])
})

describe('names of any bytes', () => {
  const LATIN = 'caf\xe9'

  test('keep their bytes in headers, long names and extended headers', async () => {
    const ours = await expectSame(
      archive(
        ROOT,
        { name: LATIN, content: '1' },
        { name: 'short', content: '2', pax: [['path', `pax-${LATIN}`]] },
        { name: 'l', type: '2', link: LATIN },
        { name: 'm', type: '2', link: 'x', pax: [['linkpath', `to-${LATIN}`]] },
        { name: 'h', type: '1', link: LATIN },
        { name: '././@LongLink', type: 'L', content: `${LATIN.repeat(40)}\0` },
        { name: 'cut', content: '3' },
      ),
    )
    const names = readdirSync(Buffer.from(ours), { encoding: 'buffer' }).map(name => name.toString('latin1'))
    expect(names.sort()).toEqual([LATIN, LATIN.repeat(40), 'h', 'l', 'm', `pax-${LATIN}`].sort())
    expect(readlinkSync(path.join(ours, 'm'), { encoding: 'buffer' }).toString('latin1')).toBe(`to-${LATIN}`)
  })

  test('are normalized if they are absolute or have empty parts or dots', async () => {
    const ours = folder('ours')
    await applied(archive({ name: '/abs' }, { name: './/a/./b//c' }, { name: 'd/', type: '5' }), ours)
    expect((readdirSync(ours, { recursive: true }) as string[]).sort()).toEqual(['a', 'a/b', 'a/b/c', 'abs', 'd'])
  })
})

describe('extended attributes', () => {
  /** struct vfs_cap_data, revision 2: cap_net_raw, effective. */
  const CAPABILITY = Buffer.from('01000002002000000000000000000000'.padEnd(40, '0'), 'hex')
  const binary = Buffer.from([0, 255, 10, 61, 128, 0])

  test('are unpacked if binary or empty, of folders and links, and after the owner, whose change drops capabilities', async () => {
    const attribute = (name: string, value: Buffer | string) => [`SCHILY.xattr.${name}`, value] as const
    await expectSame(
      archive(
        { name: './', type: '5', mode: 0o755, pax: [attribute('trusted.root', 'r')] },
        { name: 'f', content: 'x', uid: 7, mode: 0o755, pax: [attribute('security.capability', CAPABILITY)] },
        { name: 'g', content: 'x', mode: 0o444, pax: [attribute('user.bytes', binary), attribute('user.empty', '')] },
        { name: 'd', type: '5', mode: 0o700, pax: [attribute('user.of=folder', binary)] },
        { name: 'l', type: '2', link: 'f', pax: [attribute('trusted.of.link', binary)] },
        { name: 'p', type: '6', pax: [attribute('trusted.of.fifo', binary)] },
        { name: 'big', content: Buffer.alloc(400_000, 7), pax: [attribute('user.kept', binary)] },
      ),
    )
  })

  test('are not unpacked if they are labels of SELinux, and reject the layer if no file system supports them', async () => {
    const ours = folder('ours')
    await applied(archive({ name: 'f', pax: [['SCHILY.xattr.security.selinux', 'system_u:object_r:x:s0']] }), ours)
    expect(seen(ours)).toBe(seen(folder('ours')))
    const odd = archive({ name: 'g', pax: [['SCHILY.xattr.nonsense.x', 'y']] })
    await expect(applied(odd, ours)).rejects.toMatchObject({ code: 'DM_LAYER_TAR', detail: 'nonsense.x' })
  })
})

test('times with fractions, before 1970 and after 2038 are set, and those of folders after all their entries', async () => {
  const ours = await expectSame(
    archive(
      { name: './', type: '5', mode: 0o755, time: 77 },
      { name: 'd', type: '5', mode: 0o755, time: 5 },
      { name: 'd/f', content: 'x', pax: [['mtime', '1.000000001']] },
      { name: 'e', pax: [['mtime', '-1.25']] },
      { name: 'l', type: '2', link: 'x', pax: [['mtime', '4102444800.5']] },
      { name: 'd/g', content: 'later' },
    ),
  )
  const nanoseconds = (name: string) => lstatSync(path.join(ours, name), { bigint: true }).mtimeNs
  expect(nanoseconds('d')).toBe(5_000_000_000n)
  expect(nanoseconds('')).toBe(77_000_000_000n)
  expect(nanoseconds('d/f')).toBe(1_000_000_001n)
  expect(nanoseconds('e')).toBe(-1_250_000_000n)
})

test('times before 1970 in base 256 and numbers too large for octal digits are read', async () => {
  const header = block({ name: 'old', content: '' })
  header.fill(0xff, 136, 148)
  header[147] = 0xf0 // -16
  const large = block({ name: 'large', content: '' })
  large.fill(0, 108, 116).writeUInt8(0x80, 108)
  large.writeUInt32BE(3_000_000_000, 112)
  const ours = await expectSame(Buffer.concat([members(ROOT), sealed(header), sealed(large), END]))
  expect(lstatSync(path.join(ours, 'old')).mtimeMs).toBe(-16_000)
  expect(lstatSync(path.join(ours, 'large')).uid).toBe(3_000_000_000)
})

describe('files with holes', () => {
  const MIB = 2 ** 20

  function withHoles(): string {
    const tree = folder('source')
    for (const [name, pieces, size] of [
      ['few', [0, 3 * MIB], 4 * MIB],
      ['many', Array.from({ length: 60 }, (_, i) => (2 * i + 1) * 128 * 1024), 16 * MIB],
      ['only-hole', [], 5 * MIB + 3],
    ] as const) {
      const fd = openSync(path.join(tree, name), 'w')
      for (const at of pieces) writeSync(fd, Buffer.alloc(4096, name), 0, 4096, at)
      ftruncateSync(fd, size)
      closeSync(fd)
    }
    return tree
  }

  test.each([
    ['gnu', []],
    ['posix', ['--sparse-version=0.0']],
    ['posix', ['--sparse-version=0.1']],
    ['posix', ['--sparse-version=1.0']],
  ])('keep their holes in an archive of GNU tar, format %s %s', async (format, words) => {
    const packed = run('tar', ['-C', withHoles(), `--format=${format}`, '--sparse', ...words, '-c', '.'])
    expect(packed.length).toBeLessThan(2 * MIB)
    const ours = await expectSame(packed, 10_000)
    for (const name of ['few', 'many', 'only-hole']) {
      expect(lstatSync(path.join(ours, name)).blocks * 512).toBeLessThan(MIB)
    }
  })
})

describe('an entry that already exists', () => {
  test('is replaced by a later one of any type', async () => {
    const kinds: Member[] = [
      { name: 'x', content: 'file' },
      { name: 'x', type: '5', mode: 0o750 },
      { name: 'x', type: '2', link: 'nowhere' },
      { name: 'x', type: '6' },
      { name: 'x', type: '1', link: 'y' },
    ]
    for (const first of kinds) {
      for (const second of kinds) {
        const name = `${first.type ?? 0}-${second.type ?? 0}`
        const [ours, alone] = [folder(name), folder(`${name}-alone`)]
        const y: Member = { name: 'y', content: 'y' }
        const inside: Member[] = first.type === '5' && second.type !== '5' ? [{ name: 'x/in', content: 'in' }] : []
        await applied(archive(ROOT, y, first, ...inside, second), ours)
        await applied(archive(ROOT, y, second), alone)
        expect({ name, seen: seen(ours) }).toEqual({ name, seen: seen(alone) })
      }
    }
  })

  test('keeps its contents and gets the later attributes if it is a folder', async () => {
    const ours = folder('ours')
    await applied(archive({ name: 'd', type: '5', mode: 0o700 }, { name: 'd/f', content: 'f' }), ours)
    await applied(archive({ name: 'd', type: '5', mode: 0o711, uid: 5, time: 9 }, { name: 'd/g', content: 'g' }), ours)
    expect(readdirSync(path.join(ours, 'd'))).toEqual(['f', 'g'])
    expect(lstatSync(path.join(ours, 'd'))).toMatchObject({ uid: 5, mtimeMs: 9000 })
    expect(lstatSync(path.join(ours, 'd')).mode & 0o7777).toBe(0o711)
  })

  test('is kept if the later one is a hard link to itself', async () => {
    const ours = folder('ours')
    await applied(archive({ name: 'a', content: 'kept' }, { name: 'a', type: '1', link: './a' }), ours)
    expect(readFileSync(path.join(ours, 'a'), 'utf8')).toBe('kept')
  })
})

test('missing parent folders are created with mode 755, regardless of the umask', async () => {
  const ours = folder('ours')
  const before = process.umask(0o077)
  await applied(archive({ name: 'a/b/c', content: 'x', mode: 0o666 }), ours).finally(() => process.umask(before))
  expect(lstatSync(path.join(ours, 'a/b')).mode & 0o7777).toBe(0o755)
  expect(lstatSync(path.join(ours, 'a/b/c')).mode & 0o7777).toBe(0o666)
})

test('the options devices and setuid decide whether device nodes and set-user-id bits are unpacked', async () => {
  const bytes = archive(
    { name: 'null', type: '3', major: 1, minor: 3 },
    { name: 'tool', mode: 0o6755, content: 'x', pax: [['SCHILY.xattr.security.capability', Buffer.alloc(20, 0)]] },
    { name: 'd', type: '5', mode: 0o2755 },
  )
  const ours = folder('ours')
  await applyTar(ours, inPieces(bytes), { devices: 'skip', setuid: 'strip' })
  expect(readdirSync(ours).sort()).toEqual(['d', 'tool'])
  expect(lstatSync(path.join(ours, 'tool')).mode & 0o7777).toBe(0o755)
  expect(lstatSync(path.join(ours, 'd')).mode & 0o7777).toBe(0o2755)
  const refused = applyTar(folder('refused'), inPieces(bytes), { devices: 'refuse' })
  await expect(refused).rejects.toMatchObject({ code: 'DM_LAYER_TAR' })
})

test('an archive of many entries, in several batches, is unpacked as GNU tar unpacks it', async () => {
  const list: Member[] = Array.from({ length: 3000 }, (_, i) => ({
    name: `d${i % 7}/f${i}`,
    content: Buffer.alloc((i * 37) % 3000, i),
  }))
  list.push({ name: 'huge', content: Buffer.alloc(9_000_000, 'h') })
  await expectSame(archive(ROOT, ...ordered(list)), 3000)
})

/** With their folders, which GNU tar would make with other times. */
function ordered(list: Member[]): Member[] {
  const folders = Array.from({ length: 7 }, (_, i) => ({ name: `d${i}`, type: '5', mode: 0o755 }))
  return [...folders, ...list]
}
