// Every two calls on one pool, of two processes on a real kernel, made to overlap at each step of the first.
// test/fault/pool/overlap.test.ts has the pairs that change the same thing; test/unit/pool/overlap.test.ts all pairs of one
// process on the kernel in memory, where some of these steps are one.
import { useScratch } from '../helpers/kernel/scratch.js'
import { ON_FILES, ON_POOL } from '../helpers/overlap/pool-scene.js'
import { testOverlapsOnPool } from '../helpers/overlap/pool-tests.js'

const all = (calls: readonly string[]) => ({ first: calls, second: calls })

testOverlapsOnPool(useScratch(), {
  running: all(Object.keys(ON_POOL)),
  resting: all(Object.keys(ON_FILES)),
  // Those of them that differ if there are no files.
  missing: all(['create on files', 'create under another name', 'start']),
})
