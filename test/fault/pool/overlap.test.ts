// Two calls on one pool, of two processes on a real kernel, made to overlap at each step of the first. `npm test` has pairs
// that change the same thing, and `npm run test:full` every two calls. test/unit/pool/overlap.test.ts has all pairs of one
// process on the kernel in memory, where some of these steps are one.
import { ON_FILES, ON_POOL } from '../../helpers/overlap/pool-scene.js'
import { testOverlapsOnPool } from '../../helpers/overlap/pool-tests.js'
import { isFull } from '../../helpers/random/sample.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const all = (calls: readonly string[]) => ({ first: calls, second: calls })

const everyTwo = {
  running: all(Object.keys(ON_POOL)),
  resting: all(Object.keys(ON_FILES)),
  // Those of them that differ if there are no files.
  missing: all(['create on files', 'create under another name', 'start']),
}
const sample = {
  running: {
    first: ['snapshot', 'activate', 'delete', 'grow a volume'],
    second: ['snapshot', 'deactivate', 'delete', 'remove'],
  },
  resting: { first: ['create on files'], second: ['create on files', 'repair at rest'] },
  missing: { first: ['create on files'], second: ['create on files', 'start'] },
}

testOverlapsOnPool(useScratch(), isFull ? everyTwo : sample)
