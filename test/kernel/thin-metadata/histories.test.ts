// Pools with random histories, read while they run and at rest. The seed is in the title.
import { useScratch } from '../../helpers/kernel/scratch.js'
import { expectDeltas } from '../../helpers/metadata/delta-history.js'
import { seeds } from '../../helpers/random/sample.js'

useScratch()

test.each(seeds({ usual: 2, full: 20 }))('the history of seed %i', seed => expectDeltas(seed))
