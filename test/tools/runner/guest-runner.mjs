// Runs in a guest: takes test files from a queue until there are none, each by jest in this one process, so that jest and
// what it transforms are loaded once. In band: tests of one kernel must not meet each other's devices by chance.
//
// It ends after a file that failed: what that left in the kernel must not fail the files after it. It also ends before the
// queue is empty if it has grown large: jest keeps something of each file, and each page of a process in
// User-Mode Linux is a mapping of the host's, of which a process may have 65530 (vm.max_map_count). And it ends after some
// minutes, so that the guest's limit is one of few files. The next guest goes on.
//
//   node test/tools/runner/guest-runner.mjs QUEUE
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { randomInt } from 'node:crypto'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import spawner from './spawner.cjs'
import { repository } from '../setup/steps.mjs'

spawner.startSpawner()

const require = createRequire(join(repository, 'package.json'))
// All guests write to one cache of jest, which names its temporary files by the ids of the process and of the thread. Those are
// the same in all guests: one renamed the file of another.
require('node:worker_threads').threadId = randomInt(2 ** 31)
const fromJest = createRequire(dirname(require.resolve('jest/package.json')) + '/')
const { runCLI } = fromJest('@jest/core')
const { formatTestResults } = createRequire(fromJest.resolve('@jest/core'))('@jest/test-result')

const [folder] = process.argv.slice(2)
/** Bytes of resident memory; at 370 MiB a process had 40 000 mappings. */
const LARGE = 300 * 2 ** 20
const LONG_MS = 600_000
/** What a test leaves open is closed by itself in this time, or never. */
const LINGER_MS = 60_000
const { files, testNamePattern, large = LARGE } = JSON.parse(readFileSync(join(folder, 'files.json'), 'utf8'))

function claim(index) {
  try {
    mkdirSync(join(folder, `taken-${index}`))
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

/** On the disk at once: what ends the guest must not take it along. @param {string} path @param {string} text */
function keep(path, text) {
  const file = openSync(`${path}.new`, 'w')
  writeSync(file, text)
  fsyncSync(file)
  closeSync(file)
  renameSync(`${path}.new`, path)
}

/** Seconds that the processors of this guest have computed, for all processes. A tick is a hundredth of a second. */
function computed() {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8').split(/\s+/).slice(1).map(Number)
  return (user + nice + system + irq + softirq) / 100
}

async function run({ project, file }, index) {
  const [started, before] = [performance.now(), computed()]
  const chosen = { _: [file], $0: '', selectProjects: [project], runTestsByPath: true, testNamePattern }
  const options = { ...chosen, runInBand: true, reporters: [], watchman: false, passWithNoTests: true }
  const { results } = await runCLI(options, [repository])
  const seconds = (performance.now() - started) / 1000
  const processor = computed() - before
  const { testResults } = formatTestResults(results)
  keep(join(folder, `result-${index}.json`), JSON.stringify({ result: testResults, seconds, processor }))
  const ok = results.numFailedTests === 0 && results.numFailedTestSuites === 0 && results.numPassedTests > 0
  const word = ok ? 'PASS' : results.numTotalTests === 0 ? 'NONE' : 'FAIL'
  process.stderr.write(
    `${word} ${file} (${results.numPassedTests} passed, ${seconds.toFixed(1)} s, processor ${processor.toFixed(1)} s)\n`,
  )
  for (const each of results.testResults) if (each.failureMessage) process.stderr.write(`${each.failureMessage}\n`)
  return word !== 'FAIL'
}

/** Devices that tests have made and left, by dmsetup: after each test they look with the library's own list. */
function left() {
  if (!existsSync('/dev/mapper/control')) return []
  const { status, stdout, stderr } = spawnSync('dmsetup', ['ls'], { encoding: 'utf8' })
  if (status !== 0) return [`dmsetup ls: ${stderr}`]
  return stdout.split('\n').filter(line => line.startsWith('dmthintest-'))
}

// Before each file jest says there which project runs; what is for a person goes to standard error.
process.stdout.write = () => true

let ok = true
for (const [index, file] of files.entries()) {
  if (!claim(index)) continue
  ok = (await run(file, index)) && ok
  if (!ok || process.memoryUsage.rss() > large || performance.now() > LONG_MS) break
}
const remains = left()
if (remains.length > 0) {
  process.stderr.write(`FAIL devices are left: ${remains.join(', ')}\n`)
  ok = false
}
// A test that fails leaves what it was about to close.
if (!ok) process.exit(1)
// A test that passes and leaves a timer or a handle keeps this process from ending.
setTimeout(() => {
  process.stderr.write(`a test left open: ${process.getActiveResourcesInfo().join(', ')}\n`)
  process.exit(1)
}, LINGER_MS).unref()
