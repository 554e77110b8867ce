// Every program of the pages runs, on this Node. test/runtimes/docs-code.test.ts has the other supported versions.
import { pagesWithPrograms, runPage } from '../helpers/docs/run-page.js'
import { useScratch } from '../helpers/kernel/scratch.js'

const scratch = useScratch()

test.each(pagesWithPrograms)('the programs of %s run in their order', page => runPage(page, process.execPath, scratch))
