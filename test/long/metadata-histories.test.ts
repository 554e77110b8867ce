// 300 random histories of pools: deltas as thin_delta finds them, and bookmarks whose base is deleted. The seed is in the
// title.
import { useScratch } from '../helpers/kernel/scratch.js'
import { range } from '../helpers/long/report.js'
import { expectBookmarks } from '../helpers/metadata/bookmark-history.js'
import { expectDeltas } from '../helpers/metadata/delta-history.js'

const scratch = useScratch()

const SEEDS = range(150).map(at => 1000 + at)

test.each(SEEDS)('deltas in the history of seed %i', seed => expectDeltas(seed))
test.each(SEEDS)('bookmarks in the history of seed %i', seed => expectBookmarks(scratch, seed))
