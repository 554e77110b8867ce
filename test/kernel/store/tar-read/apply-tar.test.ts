// Scenario                                                  Test
// C  layers on ext4 and xfs, on the disk afterwards         a layer on %s is unpacked as …
// M  no space, no inodes                                    a file system without free blocks …
// M  something is mounted inside                            a mount of another file system …; a bind mount of the same file …
// C  default ACLs, of the layer and of lower ones           the default ACL of a …
// M  a directory is named again and again                   memory does not grow with …
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { bindMount, LoopDevice, MiB, mount, unmount } from '../../../../lib/entry/index.js'
import { applyTar } from '../../../../lib/store/tar-read/apply-tar.js'
import {
  archive,
  DEFAULT_ACL,
  inPieces,
  members,
  seen,
  sha256,
  unpackedByTar,
  type Member,
} from '../../../helpers/tree/archives.js'
import { runChild } from '../../../helpers/process/children.js'
import { expectCode } from '../../../helpers/errors/expect-code.js'
import { useScratch } from '../../../helpers/kernel/scratch.js'
import { run } from '../../../helpers/process/spawned.js'
import { extendedAttributes, setExtendedAttribute } from '../../../helpers/tree/xattrs.js'

const scratch = useScratch()
let made = 0

/** `body` in a folder of a new file system; then once more in the same one, read anew from its device. */
async function withFileSystem(
  type: 'ext4' | 'xfs',
  bytes: number,
  body: (root: string) => Promise<void>,
  again: (root: string) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const file = scratch.path(`layer-${++made}`)
  writeFileSync(file, '')
  truncateSync(file, bytes)
  run(`mkfs.${type}`, ['-q', file])
  const loop = await LoopDevice.attach({ file })
  const target = scratch.path(`mounted-${made}`)
  mkdirSync(target)
  try {
    for (const step of [body, again]) {
      await mount({ source: loop.path, target, type })
      try {
        const root = path.join(target, 'root')
        mkdirSync(root, { recursive: true })
        await step(root)
      } finally {
        await unmount(target)
      }
    }
  } finally {
    await loop.detach()
  }
}

const CAPABILITY = Buffer.from('01000002002000000000000000000000'.padEnd(40, '0'), 'hex')
const LAYER: Member[] = [
  { name: './', type: '5', mode: 0o755 },
  { name: 'etc', type: '5', mode: 0o755, time: 7 },
  { name: 'etc/passwd', content: 'root', pax: [['mtime', '1600000000.123456789']] },
  { name: 'ping', content: 'x', mode: 0o755, pax: [['SCHILY.xattr.security.capability', CAPABILITY]] },
  { name: 'su', content: 'x', mode: 0o4755, uid: 1, gid: 2, pax: [['SCHILY.xattr.user.note', 'yes']] },
  { name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 },
  { name: 'hard', type: '1', link: 'su' },
  { name: 'large', content: Buffer.alloc(2 * MiB, 'large') },
]

test.each([
  ['ext4', 16 * MiB],
  ['xfs', 320 * MiB],
] as const)('a layer on %s is unpacked as GNU tar unpacks it, and written to the disk', async (type, bytes) => {
  const theirs = scratch.path(`theirs-${type}`)
  mkdirSync(theirs)
  const plain = archive(...LAYER)
  const packed = gzipSync(plain)
  unpackedByTar(plain, theirs)
  const expected = seen(theirs)
  await withFileSystem(
    type,
    bytes,
    async root => {
      const result = await applyTar(root, inPieces(packed), { digest: sha256(packed), diffId: sha256(plain) })
      expect(result).toMatchObject({ entries: LAYER.length })
      expect(seen(root)).toBe(expected)
    },
    root => {
      expect(seen(root)).toBe(expected)
      return Promise.resolve()
    },
  )
})

test('a file system without free blocks or inodes rejects with DM_LAYER_SPACE', async () => {
  await withFileSystem('ext4', 16 * MiB, async root => {
    const large = archive({ name: 'large', content: Buffer.alloc(20 * MiB, 1) })
    const error = await expectCode(applyTar(root, inPieces(large)), 'DM_LAYER_SPACE')
    expect(error).toMatchObject({ errno: 28, device: 'large' })
  })
  await withFileSystem('ext4', 16 * MiB, async root => {
    const many = Array.from({ length: 6000 }, (_, i) => ({ name: `n/${i}` }))
    const error = await expectCode(applyTar(root, inPieces(archive(...many))), 'DM_LAYER_SPACE')
    expect(error).toMatchObject({ errno: 28, operation: 'create' })
    // What was written stays, for the caller to throw away.
    expect(readdirSync(path.join(root, 'n')).length).toBeGreaterThan(1000)
  })
})

test('a mount of another file system in the root is not written to, and nothing is removed from it', async () => {
  await withFileSystem('ext4', 16 * MiB, async root => {
    const inner = path.join(root, 'inner')
    mkdirSync(inner)
    await mount({ source: 'tmpfs', target: inner, type: 'tmpfs' })
    try {
      writeFileSync(path.join(inner, 'kept'), 'kept')
      for (const member of [
        { name: 'inner/kept', content: 'evil' },
        { name: 'inner', type: '5', mode: 0o777 },
        { name: 'inner', content: 'evil' },
        { name: '.wh.inner' },
        { name: 'inner/.wh.kept' },
        { name: 'inner/.wh..wh..opq' },
        { name: '.wh..wh..opq' },
        { name: 'l', type: '1', link: 'inner/kept' },
      ]) {
        await expectCode(applyTar(root, inPieces(archive(member))), 'DM_LAYER_TAR')
      }
      expect(readFileSync(path.join(inner, 'kept'), 'utf8')).toBe('kept')
      expect(readdirSync(inner)).toEqual(['kept'])
    } finally {
      await unmount(inner)
    }
  })
})

test('a bind mount of the same file system in the root is not written to, changed or emptied', async () => {
  await withFileSystem('ext4', 16 * MiB, async root => {
    const [outside, inner] = [path.join(root, '../outside'), path.join(root, 'd/inner')]
    mkdirSync(path.join(outside, 'sub'), { recursive: true })
    mkdirSync(inner, { recursive: true })
    writeFileSync(path.join(outside, 'kept'), 'kept')
    const before = seen(outside)
    await bindMount({ source: outside, target: inner })
    try {
      for (const list of [
        [{ name: 'd/inner', type: '5', mode: 0o777, uid: 7 }],
        [{ name: 'd/inner', content: 'evil' }],
        [{ name: 'd/inner/kept', content: 'evil' }],
        [{ name: '.wh.d' }],
        [{ name: 'd/.wh.inner' }],
        [{ name: 'd/.wh..wh..opq' }],
        [{ name: 'd', type: '2', link: 'x' }],
        [{ name: 'd/inner/new', content: 'own' }],
      ] as Member[][]) {
        await expectCode(applyTar(root, inPieces(archive(...list))), 'DM_LAYER_TAR')
        expect(seen(outside)).toBe(before)
      }
    } finally {
      await unmount(inner)
    }
  })
})

test.each([
  ['ext4', 16 * MiB],
  ['xfs', 320 * MiB],
] as const)(
  'the default ACL of a directory is kept on %s, and entries of the layer do not inherit it',
  async (type, bytes) => {
    await withFileSystem(type, bytes, async root => {
      const acl = 'system.posix_acl_default'
      const lower = path.join(root, 'lower')
      mkdirSync(lower)
      setExtendedAttribute(lower, acl, DEFAULT_ACL)
      const kinds = (folder: string): Member[] => [
        { name: `${folder}/f`, mode: 0o640 },
        { name: `${folder}/d`, type: '5', mode: 0o750 },
        { name: `${folder}/p`, type: '6', mode: 0o600 },
        { name: `${folder}/missing/f`, mode: 0o640 },
      ]
      const own: Member = { name: 'own', type: '5', mode: 0o755, time: 7, pax: [[`SCHILY.xattr.${acl}`, DEFAULT_ACL]] }
      await applyTar(root, inPieces(archive(own, ...kinds('own'), ...kinds('lower'), { name: 'own/.wh.none' })))
      const attributes = (...names: string[]) =>
        extendedAttributes(names.map(name => Buffer.from(path.join(root, name))))
      // XFS shows each ACL as it keeps it, too.
      const plain = (words: string) => words.replace(/trusted\.SGI_ACL_DEFAULT=\w+/, '').trim()
      const word = `${acl}=${DEFAULT_ACL.toString('hex')}`
      expect(attributes('own', 'lower').map(plain)).toEqual([word, word])
      for (const folder of ['own', 'lower']) {
        const names = ['f', 'd', 'p', 'missing', 'missing/f'].map(name => `${folder}/${name}`)
        expect(attributes(...names)).toEqual(['', '', '', '', ''])
        expect(names.map(name => statSync(path.join(root, name)).mode & 0o777)).toEqual([
          0o640, 0o750, 0o600, 0o755, 0o640,
        ])
      }
      expect(statSync(path.join(root, 'own')).mtimeMs).toBe(7000)
    })
  },
)

test('memory does not grow with repetitions: 20 000 entries with a path of 4 KB need less than 64 MiB', async () => {
  await withFileSystem('ext4', 64 * MiB, async root => {
    const long = Array.from({ length: 400 }, () => 'directory').join('/')
    const member = { name: 'd', type: '5', mode: 0o755, pax: [['path', long]] } as const
    const file = scratch.path('member')
    writeFileSync(file, members(member))
    const body = `
      const { applyTar } = require(${JSON.stringify(path.resolve('dist/entry/store.js'))})
      const member = require('node:fs').readFileSync(${JSON.stringify(file)})
      const most = () => Number(/VmHWM:\\s*(\\d+)/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
      async function* repeated(count) {
        for (let i = 0; i < count; i++) yield member
        yield Buffer.alloc(1024)
      }
      await applyTar(${JSON.stringify(root)}, repeated(2000))
      const before = most()
      await applyTar(${JSON.stringify(root)}, repeated(20000))
      return most() - before`
    const { value } = (await runChild(body)) as { value: number }
    expect(value).toBeLessThan(64 * MiB)
  })
})
