// A layer's tar: read byte by byte, and unpacked over the lower tree by GNU tar, which must give the upper one.
import {
  chmodSync,
  chownSync,
  createWriteStream,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { gunzipSync } from 'node:zlib'
import { changes } from '../../../../lib/store/compare/changes'
import { dependency } from '../../../../lib/base/optional-dependency'
import { diffTar } from '../../../../lib/store/tar-write/diff-tar'
import { expectCode } from '../../../helpers/errors/expect-code'
import { seeded } from '../../../helpers/random/random'
import { RandomTree } from '../../../helpers/tree/random-tree'
import { run } from '../../../helpers/process/spawned'
import { applyLayer, listed, readTar } from '../../../helpers/tree/tar'
import { thrown } from '../../../helpers/errors/thrown'
import { copyTree, inTree, survey, useTemporary } from '../../../helpers/tree/trees'
import { setExtendedAttribute } from '../../../helpers/tree/xattrs'

const temporary = useTemporary()
const isRoot = process.getuid?.() === 0
const WHOLE_SECONDS = 1_700_000_000

/** Times without a fraction, so that nothing but what a test is about needs an extended header. */
function settle(root: string): void {
  run('find', [root, '-exec', 'touch', '-h', '-d', `@${WHOLE_SECONDS}`, '{}', '+'])
}

function twins() {
  const lower = temporary('lower')
  mkdirSync(`${lower}/etc/deep/er`, { recursive: true })
  writeFileSync(`${lower}/etc/passwd`, 'root')
  writeFileSync(`${lower}/etc/deep/er/file`, 'content')
  symlinkSync('passwd', `${lower}/etc/link`)
  settle(lower)
  const upper = temporary('upper')
  copyTree(lower, upper)
  return { lower, upper }
}

const CASES: [string, (root: string) => void, string[]][] = [
  ['no entry for equal trees', () => {}, []],
  ['a new file, and its directory', root => writeFileSync(`${root}/etc/new`, 'x'), ['5 etc/', '0 etc/new']],
  ['a deleted file', root => rmSync(`${root}/etc/passwd`), ['5 etc/', '0 etc/.wh.passwd']],
  ['a deleted tree', root => rmSync(`${root}/etc`, { recursive: true }), ['0 .wh.etc']],
  ['a new symbolic link', root => symlinkSync('/nowhere', `${root}/new`), ['2 new -> /nowhere']],
  [
    'a directory that became a file',
    root => {
      rmSync(`${root}/etc/deep`, { recursive: true })
      writeFileSync(`${root}/etc/deep`, '')
    },
    ['5 etc/', '0 etc/deep'],
  ],
  [
    'a file that became a directory',
    root => {
      rmSync(`${root}/etc/passwd`)
      mkdirSync(`${root}/etc/passwd`)
    },
    ['5 etc/', '5 etc/passwd/'],
  ],
  ['the root with a changed mode', root => chmodSync(root, 0o711), ['5 ./']],
  ['a new pipe', root => void run('mkfifo', [`${root}/pipe`]), ['6 pipe']],
  [
    'two names of a new file',
    root => {
      writeFileSync(`${root}/etc/one`, 'x')
      linkSync(`${root}/etc/one`, `${root}/another`)
    },
    ['0 another', '5 etc/', '1 etc/one -> another'],
  ],
  [
    'another name of an unchanged file',
    root => linkSync(`${root}/etc/passwd`, `${root}/another`),
    ['1 another -> etc/passwd'],
  ],
  [
    'names in the order of their bytes',
    root => ['a/x', 'a-b/x', 'a0', 'a!'].forEach(key => run('install', ['-D', '/dev/null', `${root}/${key}`])),
    ['5 a/', '0 a!', '5 a-b/', '0 a-b/x', '0 a/x', '0 a0'],
  ],
]

test.each(CASES)('diffTar packs %s, and GNU tar makes the upper tree of it', async (_what, change, expected) => {
  const { lower, upper } = twins()
  change(upper)
  const tar = await buffer(diffTar(lower, upper))
  expect(listed(tar)).toEqual(expected)
  applyLayer(tar, lower)
  expect(survey(lower)).toEqual(survey(upper))
})

test('diffTar writes an extended header only for entries that need it', async () => {
  const { upper } = twins()
  const [directory, deep, , file, link] = readTar(await buffer(diffTar(undefined, upper))).filter(
    each => each.name !== './',
  )
  const own = lstatSync(upper)
  expect(directory).toMatchObject({
    name: 'etc/',
    type: '5',
    mode: 0o755,
    uid: own.uid,
    gid: own.gid,
    size: 0,
    pax: {},
  })
  expect(deep).toMatchObject({ name: 'etc/deep/', rest: '' })
  expect(file).toMatchObject({ name: 'etc/deep/er/file', type: '0', mode: 0o644, pax: {}, rest: '' })
  expect(file!.content.toString()).toBe('content')
  expect(link).toMatchObject({ name: 'etc/link', linkName: 'passwd', pax: {} })
})

// Without root nobody reads a file of mode 0.
const LEAST_MODE = isRoot ? 0 : 0o400

test('diffTar packs a mode of 0 and times before 1970, far in the future, and with nanoseconds', async () => {
  const upper = temporary('upper')
  mkdirSync(upper)
  for (const name of ['a', 'b', 'c']) writeFileSync(`${upper}/${name}`, 'x')
  chmodSync(`${upper}/a`, LEAST_MODE)
  run('touch', ['-d', '@-1.5', `${upper}/a`])
  run('touch', ['-d', '@4000000000', `${upper}/b`])
  run('touch', ['-d', '@1700000000.000000001', `${upper}/c`])
  const tar = await buffer(diffTar(undefined, upper))
  const entries = readTar(tar).filter(each => each.name !== './')
  expect(entries.map(each => each.pax)).toEqual([
    { mtime: '-1.5' },
    { mtime: '4000000000' },
    { mtime: '1700000000.000000001' },
  ])
  expect(entries[0]!.mode).toBe(LEAST_MODE)
  const unpacked = temporary('unpacked')
  mkdirSync(unpacked)
  applyLayer(tar, unpacked)
  expect(survey(unpacked)).toEqual(survey(upper))
})

test('diffTar packs names and link targets that are long, not ASCII, or not UTF-8', async () => {
  const upper = temporary('upper')
  mkdirSync(`${upper}/${'d'.repeat(150)}/${'e'.repeat(150)}`, { recursive: true })
  const key = `/${'d'.repeat(150)}/${'e'.repeat(150)}/${'f'.repeat(150)}`
  writeFileSync(upper + key, 'far')
  linkSync(upper + key, `${upper}/z`)
  for (const name of ['\xc3\xa9', '\xff\xfe', 'x\ny']) writeFileSync(inTree(upper, `/${name}`), name)
  symlinkSync(Buffer.from('\xff'.repeat(200), 'latin1'), `${upper}/to`)
  const tar = await buffer(diffTar(undefined, upper))
  const names = readTar(tar).map(each => `/${each.name}`.replace(/\/$/, ''))
  expect(names.filter(each => each !== '/.')).toEqual([...survey(upper).keys()].sort())
  const unpacked = temporary('unpacked')
  mkdirSync(unpacked)
  applyLayer(tar, unpacked)
  expect(survey(unpacked)).toEqual(survey(upper))
  expect(lstatSync(`${unpacked}/z`).ino).toBe(lstatSync(unpacked + key).ino)
  // And all of it deleted again.
  const empty = temporary('empty')
  mkdirSync(empty)
  applyLayer(await buffer(diffTar(unpacked, empty)), unpacked)
  expect(readdirSync(unpacked)).toEqual([])
})

test('diffTar packs extended attributes of any bytes, of files and directories', async () => {
  const { lower, upper } = twins()
  const value = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
  setExtendedAttribute(`${upper}/etc/passwd`, 'user.bytes', value)
  setExtendedAttribute(`${upper}/etc/deep`, 'user.\xe9', Buffer.from([0x80]))
  const tar = await buffer(diffTar(lower, upper))
  expect(readTar(tar).find(each => each.name === 'etc/passwd')!.pax).toEqual({
    'SCHILY.xattr.user.bytes': value.toString('latin1'),
  })
  applyLayer(tar, lower)
  expect(survey(lower)).toEqual(survey(upper))
})

if (isRoot) {
  test('diffTar packs devices, owners and capabilities, which only root can make', async () => {
    const { lower, upper } = twins()
    run('mknod', [`${upper}/null`, 'c', '1', '3'])
    run('mknod', [`${upper}/disk`, 'b', '259', '200000'])
    chownSync(`${upper}/etc/passwd`, 4_000_000_000, 5_000_000)
    // Version 2, cap_net_raw, effective: bytes that are no UTF-8.
    const capability = Buffer.from('0100000200200000ff80000000000000ffffffff', 'hex')
    setExtendedAttribute(`${upper}/etc/deep/er/file`, 'security.capability', capability)
    setExtendedAttribute(`${upper}/etc/link`, 'trusted.note', Buffer.from([0xff, 0, 0xfe]))
    const tar = await buffer(diffTar(lower, upper))
    const entries = new Map(readTar(tar).map(each => [each.name, each]))
    expect(entries.get('disk')).toMatchObject({ type: '4', device: '259:200000' })
    expect(entries.get('null')).toMatchObject({ type: '3', device: '1:3' })
    expect(entries.get('etc/passwd')!.pax).toEqual({ uid: '4000000000', gid: '5000000' })
    const stored = entries.get('etc/deep/er/file')!.pax['SCHILY.xattr.security.capability']!
    expect(Buffer.from(stored, 'latin1').subarray(0, 4)).toEqual(capability.subarray(0, 4))
    applyLayer(tar, lower)
    expect(survey(lower)).toEqual(survey(upper))
  })

  test('diffTar rejects a device number too large for tar with DM_UNSUPPORTED', async () => {
    const { lower, upper } = twins()
    run('mknod', [`${upper}/disk`, 'b', '259', '1000000'])
    const error = await expectCode(buffer(diffTar(lower, upper)), 'DM_UNSUPPORTED')
    expect(error.message).toContain('259:1000000')
  })
}

test.each(Array.from({ length: 10 }, (_, index) => index + 1))(
  'diffTar of random trees is reproducible, and GNU tar makes the upper tree of it (seed %i)',
  async seed => {
    const random = seeded(1000 + seed)
    const lower = temporary('lower')
    new RandomTree(random, lower).grow(50)
    const upper = temporary('upper')
    copyTree(lower, upper)
    new RandomTree(random, upper).change(25)
    const tar = await buffer(diffTar(lower, upper))
    expect((await buffer(diffTar(lower, upper))).equals(tar)).toBe(true)
    const keys = readTar(tar).map(each => each.name.replace(/\/$/, ''))
    expect(keys).toEqual([...keys].sort())
    applyLayer(tar, lower)
    expect(survey(lower)).toEqual(survey(upper))
    expect(await changes(lower, upper)).toEqual([])
  },
)

test('diffTar of a copy of a tree makes the same bytes, also within gzip', async () => {
  const { lower, upper } = twins()
  writeFileSync(`${upper}/etc/new`, 'x'.repeat(100_000))
  const tar = await buffer(diffTar(lower, upper))
  const elsewhere = temporary('elsewhere')
  copyTree(upper, elsewhere)
  expect((await buffer(diffTar(lower, elsewhere))).equals(tar)).toBe(true)
  const packed = await buffer(diffTar(lower, upper, { compression: 'gzip' }))
  expect(packed.length).toBeLessThan(tar.length / 10)
  expect(gunzipSync(packed).equals(tar)).toBe(true)
  expect((await buffer(diffTar(lower, upper, { compression: 'gzip' }))).equals(packed)).toBe(true)
})

test('diffTar leaves out a socket, and packs the deletion of the file that it replaced', async () => {
  const { lower, upper } = twins()
  rmSync(`${upper}/etc/passwd`)
  const servers = ['new', 'etc/passwd'].map(name => createServer().listen(`${upper}/${name}`))
  await Promise.all(servers.map(each => once(each, 'listening')))
  expect(listed(await buffer(diffTar(lower, upper)))).toEqual(['5 etc/', '0 etc/.wh.passwd'])
  for (const each of servers) each.close()
})

test('diffTar rejects a name that means a deletion with DM_UNSUPPORTED', async () => {
  const { lower, upper } = twins()
  writeFileSync(`${upper}/etc/.wh.passwd`, '')
  const error = await expectCode(buffer(diffTar(lower, upper)), 'DM_UNSUPPORTED')
  expect(error.device).toBe('/etc/.wh.passwd')
})

test('diffTar makes a stream that pipeline() writes to a file', async () => {
  const { upper } = twins()
  const file = temporary('layer.tar')
  await pipeline(diffTar(undefined, upper), createWriteStream(file))
  expect(run('tar', ['-tf', file]).split('\n')).toContain('etc/deep/er/file')
})

test('diffTar fails the stream if a tree is missing, and throws if an argument is invalid', async () => {
  const { lower, upper } = twins()
  await expectCode(buffer(diffTar(lower, `${upper}/none`)), 'DM_FILE_MISSING')
  expect(thrown(() => diffTar(lower, 7 as never)).code).toBe('DM_INVALID_ARGUMENT')
  expect(thrown(() => diffTar(lower, upper, { compression: 'zstd' as never })).code).toBe('DM_INVALID_ARGUMENT')
})

test('the error for a missing optional package contains the command that installs it', async () => {
  const missing = 'dm-thin-has-no-such-package'
  const error = await expectCode(
    dependency(missing, '^1.0.0', () => import(missing)),
    'DM_DEPENDENCY',
  )
  expect(error.message).toContain(`npm install ${missing}@^1.0.0`)
  expect(error.detail).toBe(missing)
})
