// Every two calls on one store, of two processes on a real kernel, made to overlap at each step of the first.
// test/fault/store/overlap.test.ts has the pairs that change the same thing.
import { useScratch } from '../helpers/kernel/scratch.js'
import { ON_STORE } from '../helpers/overlap/store-scene.js'
import { testOverlapsOnStore } from '../helpers/overlap/store-tests.js'

const calls = Object.keys(ON_STORE)

testOverlapsOnStore(useScratch(), { first: calls, second: calls })
