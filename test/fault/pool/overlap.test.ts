// Two calls on one pool that change the same thing, of two processes on a real kernel, made to overlap at each step of the
// first. test/long/overlap-pool.test.ts has every two calls, which takes minutes.
import { useScratch } from '../../helpers/kernel/scratch.js'
import { testOverlapsOnPool } from '../../helpers/overlap/pool-tests.js'

const onFiles = { first: ['create on files'], second: ['create on files', 'start', 'check at rest', 'repair at rest'] }

testOverlapsOnPool(useScratch(), {
  running: {
    first: ['snapshot', 'activate', 'deactivate', 'delete', 'grow a volume'],
    second: ['snapshot', 'activate', 'deactivate', 'delete', 'grow a volume', 'remove', 'open by name'],
  },
  resting: onFiles,
  missing: onFiles,
})
