// Comparing and reading trees: each call of the kernel made to fail, and an abort in the middle of one.
import { linkSync, lutimesSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { mount, unmount } from '../../../../lib/entry/index.js'
import { changes } from '../../../../lib/store/compare/changes.js'
import { diffTar } from '../../../../lib/store/tar-write/diff-tar.js'
import { expectCode } from '../../../helpers/errors/expect-code.js'
import { EIO, stopAt, useFaults } from '../../../helpers/fault/fault.js'
import { useScratch } from '../../../helpers/kernel/scratch.js'
import { setExtendedAttribute } from '../../../helpers/tree/xattrs.js'

const scratch = useScratch()
const hooks = useFaults()
const [EPERM, ENOENT] = [1, 2]
const descriptors = () => readdirSync('/proc/self/fd').length

/** Two trees in which every call has something to do. */
function trees() {
  const [lower, upper] = ['lower', 'upper'].map(name => scratch.path(scratch.name(name)))
  for (const root of [lower!, upper!]) {
    mkdirSync(`${root}/etc`, { recursive: true })
    writeFileSync(`${root}/etc/same`, 'content')
    setExtendedAttribute(`${root}/etc/same`, 'user.note', Buffer.from('x'))
    utimesSync(`${root}/etc/same`, 1, 1)
    symlinkSync('same', `${root}/etc/link`)
    lutimesSync(`${root}/etc/link`, 1, 1)
  }
  writeFileSync(`${upper}/etc/new`, 'new')
  linkSync(`${upper}/etc/new`, `${upper}/other`)
  return { lower: lower!, upper: upper! }
}

const CALLS = ['open tree', 'open', 'statx', 'getdents64', 'listxattr', 'getxattr', 'readlink', 'read']

test.each(CALLS)('a failure of %s at any place is reported by name, and leaves no descriptor open', async call => {
  const { lower, upper } = trees()
  const before = descriptors()
  let reached = 0
  for (let nth = 1; ; nth++) {
    hooks.setFault(call, nth, 'fail', EIO)
    const outcome = await buffer(diffTar(lower, upper)).then(
      () => undefined,
      (fault: unknown) => fault,
    )
    if (hooks.clearFaults() > 0) break
    reached++
    expect(outcome).toMatchObject({ code: 'DM_KERNEL', errno: EIO, operation: call })
    expect(descriptors()).toBe(before)
  }
  expect(reached).toBeGreaterThan(0)
})

test.each(['open', 'statx', 'getdents64', 'listxattr', 'getxattr', 'readlink', 'read'])(
  'an entry that is missing when %s reads it rejects with DM_LAYER_CHANGED',
  async call => {
    const { lower, upper } = trees()
    hooks.setFault(call, 1, 'fail', ENOENT)
    await expectCode(buffer(diffTar(lower, upper)), 'DM_LAYER_CHANGED')
    expect(hooks.clearFaults()).toBe(0)
  },
)

test('a mount within a tree is rejected by name if the kernel does not permit detached mounts', async () => {
  const { lower, upper } = trees()
  hooks.setFault('open_tree', 1, 'fail', EPERM)
  hooks.setFault('open_tree', 2, 'fail', EPERM)
  expect(await changes(lower, lower)).toEqual([])
  mkdirSync(`${upper}/etc/here`)
  await mount({ source: 'tmpfs', target: `${upper}/etc/here`, type: 'tmpfs' })
  try {
    hooks.setFault('open_tree', 1, 'fail', EPERM)
    hooks.setFault('open_tree', 2, 'fail', EPERM)
    const error = await expectCode(changes(lower, upper), 'DM_UNSUPPORTED')
    expect(error.device).toBe('/etc/here')
    hooks.clearFaults()
    expect((await changes(lower, upper)).map(each => each.path)).toContain('/etc/here')
  } finally {
    await unmount(`${upper}/etc/here`)
  }
})

test('an abort ends a walk between two entries, and a file between two reads', async () => {
  const { lower, upper } = trees()
  const before = descriptors()
  for (const call of ['statx', 'read']) {
    const stop = stopAt(hooks, [call, 2])
    const controller = new AbortController()
    const running = buffer(diffTar(lower, upper, { signal: controller.signal }))
    await stop.reached(running)
    controller.abort()
    stop.release()
    await expectCode(running, 'ABORT_ERR')
  }
  expect(descriptors()).toBe(before)
})
