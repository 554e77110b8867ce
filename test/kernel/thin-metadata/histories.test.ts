// Pools with random histories, read while they run and at rest. The seed is in the title.
import { useScratch } from '../../helpers/kernel/scratch.js'
import { expectDeltas } from '../../helpers/metadata/delta-history.js'

useScratch()

test.each([1, 2, 3, 4])('the history of seed %i', seed => expectDeltas(seed))
