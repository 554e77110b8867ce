// Every program of the pages runs, on this Node. test/runtimes/docs-code.test.ts has the other supported versions. Those of
// the README have a process each, as a reader's have, and if full those of all pages.
import { pagesWithPrograms, runPage } from '../helpers/docs/run-page.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { isFull } from '../helpers/random/sample.js'

const scratch = useScratch()

test.each(pagesWithPrograms)('the programs of %s run in their order', page =>
  runPage(page, process.execPath, scratch, { inOneProcess: !isFull && page !== 'README.md' }),
)
