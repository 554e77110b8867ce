// The programs of the README run on the oldest and the newest supported Node; if full, those of every page on each supported
// Node. test/examples/docs-code.test.ts has every page on the Node that runs the tests, which is one of these. The database of
// one recipe is better-sqlite3, which is compiled for that Node alone.
import { programs } from '../helpers/docs/code.js'
import { pagesWithPrograms, runPage } from '../helpers/docs/run-page.js'
import { MAJORS, runtimePath } from '../helpers/process/runtimes.js'
import { isFull } from '../helpers/random/sample.js'
import { useScratch } from '../helpers/kernel/scratch.js'

const scratch = useScratch()
const OTHERS = MAJORS.filter(major => major !== Number(process.versions.node.split('.')[0]))
const onAnyNode = pagesWithPrograms.filter(page => programs(page).every(({ code }) => !code.includes('better-sqlite3')))

const chosen = isFull ? onAnyNode : ['README.md']

describe.each(OTHERS)('Node %d', major => {
  test.each(chosen)('runs the programs of %s in their order', page =>
    runPage(page, runtimePath(`node${major}`), scratch, { inOneProcess: true }),
  )
})
