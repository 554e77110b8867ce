// Every program of the pages runs on each supported Node. test/examples/docs-code.test.ts has the Node that runs the tests,
// which is one of these. The database of one recipe is better-sqlite3, which is compiled for that Node alone.
import { programs } from '../helpers/docs/code.js'
import { pagesWithPrograms, runPage } from '../helpers/docs/run-page.js'
import { runtimePath } from '../helpers/process/runtimes.js'
import { useScratch } from '../helpers/kernel/scratch.js'

const scratch = useScratch()
const OTHERS = [20, 22, 24, 26].filter(major => major !== Number(process.versions.node.split('.')[0]))
const onAnyNode = pagesWithPrograms.filter(page => programs(page).every(({ code }) => !code.includes('better-sqlite3')))

describe.each(OTHERS)('Node %d', major => {
  test.each(onAnyNode)('runs the programs of %s in their order', page =>
    runPage(page, runtimePath(`node${major}`), scratch, { inOneProcess: true }),
  )
})
