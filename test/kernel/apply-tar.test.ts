// Scenario                                                  Test
// C  layers on ext4 and xfs, on the disk afterwards         a layer on …
// M  no space, no inodes                                    … that is full
// M  something is mounted inside                            … on which another …
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { LoopDevice, MiB, mount, unmount } from '../../lib/index.js'
import { applyTar } from '../../lib/store/unpack/apply-tar.js'
import { archive, inPieces, seen, sha256, unpackedByTar, type Member } from '../helpers/archives.js'
import { expectCode } from '../helpers/expect-code.js'
import { useScratch } from '../helpers/scratch.js'
import { run } from '../helpers/spawned.js'

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
] as const)('a layer on %s is what GNU tar makes of it, and on the disk', async (type, bytes) => {
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

test('a file system that is full, of content and of inodes', async () => {
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

test('a file system on which another is mounted: nothing is written or removed there', async () => {
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
