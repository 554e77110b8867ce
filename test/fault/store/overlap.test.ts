// Two calls on one store, of two processes on a real kernel, made to overlap at each step of the first. `npm test` has pairs
// that change the same layer, and `npm run test:full` every two calls.
import { ON_STORE } from '../../helpers/overlap/store-scene.js'
import { testOverlapsOnStore } from '../../helpers/overlap/store-tests.js'
import { isFull } from '../../helpers/random/sample.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const calls = Object.keys(ON_STORE)

testOverlapsOnStore(useScratch(), {
  first: isFull ? calls : ['commit', 'fork', 'reset'],
  second: isFull ? calls : ['commit', 'resize', 'remove an active layer', 'write to a layer'],
})
