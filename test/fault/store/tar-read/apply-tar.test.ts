// Unpacking a layer: each call of the kernel made to fail.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { applyTar } from '../../../../lib/store/tar-read/apply-tar.js'
import { archive, DEFAULT_ACL, inPieces, type Member } from '../../../helpers/tree/archives.js'
import { expectCode } from '../../../helpers/errors/expect-code.js'
import { EIO, useFaults } from '../../../helpers/fault/fault.js'
import { useScratch } from '../../../helpers/kernel/scratch.js'

const scratch = useScratch()
const hooks = useFaults()
const EAGAIN = 11
const ENOSYS = 38
const ENOSPC = 28

const LAYER: Member[] = [
  { name: 'a/b', content: 'b', uid: 7 },
  { name: 'c', type: '5', mode: 0o2755, pax: [['SCHILY.xattr.user.x', 'y']] },
  { name: 'l', type: '2', link: 'c', pax: [['SCHILY.xattr.trusted.x', 'y']] },
  { name: 'h', type: '1', link: 'a/b' },
  { name: 'p', type: '6', mode: 0o4666, uid: 3 },
  { name: 'a/.wh.b' },
  { name: 'old/.wh.x' },
  {
    name: 'sparse',
    content: 'x',
    pax: [
      ['GNU.sparse.size', '9'],
      ['GNU.sparse.map', '1,1'],
    ],
  },
]
const OPERATIONS = ['open tree', 'openat2', 'statx', 'mkdir', 'open', 'create', 'write', 'chown', 'chmod', 'setxattr']
const OTHERS = [
  'symlink',
  'link',
  'mknod',
  'truncate',
  'utimens',
  'unlink',
  'syncfs',
  'getxattr',
  'getrandom',
  'getdents64',
]

const descriptors = () => readdirSync('/proc/self/fd').length

function root(): string {
  const path = scratch.path(scratch.name('root'))
  mkdirSync(`${path}/old/x/deep`, { recursive: true })
  return path
}

test.each([...OPERATIONS, ...OTHERS, 'rmdir'])(
  'a failure of %s rejects with its errno, and leaves no descriptor open',
  async operation => {
    await applyTar(root(), inPieces(archive(...LAYER)))
    const before = descriptors()
    for (let nth = 1; nth <= 3; nth++) {
      hooks.setFault(operation, nth, 'fail', EIO)
      const outcome = applyTar(root(), inPieces(archive(...LAYER)))
      if (nth === 1) {
        expect(await expectCode(outcome, 'DM_KERNEL')).toMatchObject({ errno: EIO, operation })
      } else {
        await outcome.catch(() => {})
      }
      hooks.clearFaults()
    }
    expect(descriptors()).toBe(before)
  },
)

test('a kernel without openat2 rejects with DM_UNSUPPORTED, and a full disk at the end with DM_LAYER_SPACE', async () => {
  hooks.setFault('openat2', 1, 'fail', ENOSYS)
  const error = await expectCode(applyTar(root(), inPieces(archive(...LAYER))), 'DM_UNSUPPORTED')
  expect(error.message).toContain('5.6')
  hooks.setFault('syncfs', 1, 'fail', ENOSPC)
  await expectCode(applyTar(root(), inPieces(archive(...LAYER))), 'DM_LAYER_SPACE')
})

test('a default ACL that cannot be removed or restored rejects with its errno, and leaves no descriptor open', async () => {
  const before = descriptors()
  for (const [operation, nth] of [
    ['removexattr', 1],
    ['setxattr', 2],
  ] as const) {
    hooks.setFault(operation, nth, 'fail', EIO)
    const list: Member[] = [
      { name: 'd', type: '5', mode: 0o755, pax: [['SCHILY.xattr.system.posix_acl_default', DEFAULT_ACL]] },
      { name: 'd/f' },
    ]
    const error = await expectCode(applyTar(root(), inPieces(archive(...list))), 'DM_KERNEL')
    expect(error).toMatchObject({ errno: EIO, operation })
    expect(hooks.clearFaults()).toBe(0)
  }
  expect(descriptors()).toBe(before)
})

describe('a path that the kernel fails to resolve with EAGAIN', () => {
  const again = (times: number) => {
    for (let i = 0; i < times; i++) hooks.setFault('openat2', 1, 'fail', EAGAIN)
  }

  test('is resolved again', async () => {
    again(100)
    await applyTar(root(), inPieces(archive({ name: 'a/b' })))
    expect(hooks.clearFaults()).toBe(0)
  })

  test('is rejected if EAGAIN is returned without end', async () => {
    again(1000)
    const error = await expectCode(applyTar(root(), inPieces(archive({ name: 'a/b' }))), 'DM_KERNEL')
    expect(error).toMatchObject({ errno: EAGAIN, operation: 'openat2' })
    expect(hooks.clearFaults()).toBeGreaterThan(800)
  })
})

describe('a directory that is hidden repeatedly', () => {
  const files = Array.from({ length: 40 }, (_, i): Member => ({ name: `d/own-${i}` }))
  const opaque = { name: 'd/.wh..wh..opq' }
  const times = (count: number, member: Member) => Array.from({ length: count }, () => member)

  /** Fails if unpacking reads more pieces of directories than so many, or opens more directories to be read. */
  async function within(reads: number, ...list: Member[]): Promise<string[]> {
    const path = root()
    for (const each of ['d/lower/deep', 'd/both']) mkdirSync(`${path}/${each}`, { recursive: true })
    for (const each of ['d/lower/f', 'd/both/f', 'd/f']) writeFileSync(`${path}/${each}`, '')
    for (const operation of ['getdents64', 'open']) hooks.setFault(operation, reads + 1, 'fail', EIO)
    await applyTar(path, inPieces(archive(...list)))
    expect(hooks.clearFaults()).toBe(2)
    return (readdirSync(`${path}/d`, { recursive: true }) as string[]).filter(name => !name.startsWith('own')).sort()
  }

  // Each directory takes two reads, of which the second finds nothing: d, lower, deep, both.
  test.each([
    ['by opaque markers', times(500, opaque)],
    ['by its name, which the layer also has', times(500, { name: '.wh.d' })],
    ['by both, with files in between', files.flatMap(file => [opaque, file, { name: '.wh.d' }])],
  ])('is read once if it is hidden %s', async (_, markers) => {
    const own: Member[] = [{ name: 'd', type: '5', mode: 0o755 }, ...files, { name: 'd/both/own' }]
    expect(await within(8, ...own, ...markers)).toEqual(['both', 'both/own'])
  })

  test('is read once if it is hidden by markers at each of its levels, in either order', async () => {
    const level = (i: number) => `d/${Array.from({ length: i }, () => 'l').join('/')}`
    const levels = Array.from({ length: 12 }, (_, i) => ({ name: `${level(i + 1)}/.wh..wh..opq` }))
    const own = files.map(({ name }): Member => ({ name: name.replace('d/', `${level(12)}/`) }))
    for (const markers of [levels, [...levels].reverse()]) {
      expect(await within(32, ...own, ...markers, opaque)).toHaveLength(12 + 40)
    }
  })
})
