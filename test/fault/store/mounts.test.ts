// Where the kernel has no detached mounts, or refuses one, what the store mounts for itself.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { archive, inPieces } from '../../helpers/tree/archives.js'
import { useFaults } from '../../helpers/fault/fault.js'
import { withStore } from '../../helpers/store/stores.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

useScratch()
const hooks = useFaults()
const [EPERM, EIO, ENOSYS] = [1, 5, 38]
const ARCHIVE = archive({ name: 'motd', content: 'hello' })

test.each([ENOSYS, EPERM])('a kernel that fails with errno %i mounts the layer in a folder of the store', errno =>
  withStore({}, async store => {
    await store.prepare('a')
    hooks.setFault('fsopen', 1, 'fail', errno)
    await store.applyLayer('a', inPieces(ARCHIVE))
    expect(hooks.clearFaults()).toBe(0)
    await store.withMounted('a', async folder => {
      expect(readFileSync(path.join(folder, 'motd'), 'utf8')).toBe('hello')
    })
  }),
)

test.each(['fsopen', 'fsconfig', 'fsmount'])('a failure of %s rejects the call, and mounts nothing', operation =>
  withStore({}, async store => {
    await store.prepare('a')
    const before = readFileSync('/proc/self/mountinfo', 'utf8')
    hooks.setFault(operation, 1, 'fail', EIO)
    await expect(store.applyLayer('a', inPieces(ARCHIVE))).rejects.toMatchObject({ operation, errno: EIO })
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(before)
    await store.applyLayer('a', inPieces(ARCHIVE))
    await store.remove('a')
    expect(await store.cleanup()).toEqual([])
  }),
)
