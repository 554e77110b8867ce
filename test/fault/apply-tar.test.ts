// Unpacking a layer: each call of the kernel made to fail.
import { mkdirSync, readdirSync } from 'node:fs'
import { applyTar } from '../../lib/store/unpack/apply-tar.js'
import { archive, inPieces, type Member } from '../helpers/archives.js'
import { expectCode } from '../helpers/expect-code.js'
import { EIO, useFaults } from '../helpers/fault.js'
import { useScratch } from '../helpers/scratch.js'

const scratch = useScratch()
const hooks = useFaults()
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
const OTHERS = ['symlink', 'link', 'mknod', 'truncate', 'utimens', 'unlink', 'syncfs']

const descriptors = () => readdirSync('/proc/self/fd').length

function root(): string {
  const path = scratch.path(scratch.name('root'))
  mkdirSync(`${path}/old/x/deep`, { recursive: true })
  return path
}

test.each([...OPERATIONS, ...OTHERS, 'rmdir'])(
  '%s fails: its errno, and no descriptor is left open',
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

test('a kernel without openat2, a disk that fills up at the very end', async () => {
  hooks.setFault('openat2', 1, 'fail', ENOSYS)
  const error = await expectCode(applyTar(root(), inPieces(archive(...LAYER))), 'DM_UNSUPPORTED')
  expect(error.message).toContain('5.6')
  hooks.setFault('syncfs', 1, 'fail', ENOSPC)
  await expectCode(applyTar(root(), inPieces(archive(...LAYER))), 'DM_LAYER_SPACE')
})
