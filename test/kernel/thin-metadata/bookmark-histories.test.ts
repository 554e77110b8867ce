// Bookmarks in random histories, with the base kept and with the base deleted. The seed is in the title.
import { useScratch } from '../../helpers/kernel/scratch.js'
import { expectBookmarks } from '../../helpers/metadata/bookmark-history.js'
import { seeds } from '../../helpers/random/sample.js'

const scratch = useScratch()

test.each(seeds({ usual: 1, full: 12 }))('the history of seed %i', seed => expectBookmarks(scratch, seed))
