// Two calls on one store that change the same layer, of two processes on a real kernel, made to overlap at each step of the
// first. test/long/overlap-store.test.ts has every two calls, which takes minutes.
import { useScratch } from '../../helpers/kernel/scratch.js'
import { testOverlapsOnStore } from '../../helpers/overlap/store-tests.js'

testOverlapsOnStore(useScratch(), {
  first: ['commit', 'fork', 'resize', 'reset'],
  second: ['commit', 'resize', 'reset', 'remove an active layer', 'mounts', 'write to a layer'],
})
