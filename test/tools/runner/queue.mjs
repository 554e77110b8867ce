// The queue of test files that guests take from, one file at a time, so that all end at about the same time.
//
// A queue is a folder in the work tree, which every guest sees: `files.json`, and a folder `taken-N` for each file that a
// guest has claimed, made by mkdir, which succeeds once. A guest leaves the outcome of file N in `result-N.json`.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { repository } from '../setup/steps.mjs'

const TIMES = join(repository, '.cache/results/times.json')
/** Where no time is known: the projects with long files first, then the larger files. */
const LONG_PROJECTS = ['clients', 'store', 'contract', 'examples', 'runtimes']

/**
 * What a test file states of itself in its first comment:
 *   `@udev with`  runs where udevd runs, `@udev both` with and without it; without the tag it runs without;
 *   `@second-kernel` also runs on the stock kernel when the others run in User-Mode Linux, in `npm run test:full`;
 *   `@full` runs only in `npm run test:full`, or if a pattern names it;
 *   `@two-processors`, of a race: runs in a guest with two processors in `npm test` too.
 * @param {string} text @returns {Tags}
 */
export function tagsIn(text) {
  const head = /^(?:\s*\/\/[^\n]*\n)+/.exec(text)?.[0] ?? ''
  const word = /@udev (\S+)/.exec(head)?.[1] ?? 'without'
  const udev = { with: ['with'], without: ['without'], both: ['without', 'with'] }[word]
  if (udev === undefined) throw new Error(`@udev is with, without or both, not ${word}`)
  const has = tag => new RegExp(`@${tag}\\b`).test(head)
  return { udev, secondKernel: has('second-kernel'), full: has('full'), twoProcessors: has('two-processors') }
}

/**
 * @typedef {{ udev: ('with' | 'without')[], secondKernel: boolean, full: boolean, twoProcessors: boolean }} Tags
 * @typedef {{ project: string, file: string } & Tags} TestFile
 */

/**
 * The test files of projects. Those tagged `@full` are among them if `full`, or if a pattern selects them.
 * @param {string[]} projects @param {string[]} [filters] patterns of paths within the repository; words that begin with `-` are jest's
 * @param {{ full?: boolean }} [which] @returns {TestFile[]}
 */
export function testFiles(projects, filters = [], { full = false } = {}) {
  const patterns = patternsIn(filters).map(word => new RegExp(word, 'i'))
  return projects.flatMap(project => {
    const folder = join(repository, 'test', project)
    const names = existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String).sort() : []
    return names
      .filter(name => name.endsWith('.test.ts') && !name.includes('node_modules/'))
      .map(name => relative(repository, join(folder, name)))
      .filter(file => patterns.length === 0 || patterns.some(pattern => pattern.test(file)))
      .map(file => ({ project, file, ...tagsIn(readFileSync(join(repository, file), 'utf8')) }))
      .filter(file => full || !file.full || patterns.length > 0)
  })
}

const NAME_OPTION = /^(-t|--testNamePattern)$/

/** The words of a command that select files: those that are no options of jest, nor the value of `-t`. @param {string[]} words */
export const patternsIn = words =>
  words.filter((word, at) => !word.startsWith('-') && !NAME_OPTION.test(words[at - 1] ?? ''))

/** The others. @param {string[]} words */
export const optionsIn = words =>
  words.filter((word, at) => word.startsWith('-') || NAME_OPTION.test(words[at - 1] ?? ''))

/** @typedef {{ folder: string, label: string, files: { project: string, file: string }[] }} Queue */

/**
 * @param {string} label where the files run: their times are kept for each such place
 * @param {{ project: string, file: string }[]} files @param {object} settings for the guest's runner
 * @returns {Queue}
 */
export function makeQueue(label, files, settings) {
  const folder = join(repository, '.cache/results', `${label.replaceAll(/[^a-z0-9]+/gi, '-')}-${process.pid}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const times = readTimes()[label] ?? {}
  const [known, unknown] = [files.filter(each => each.file in times), files.filter(each => !(each.file in times))]
  const rank = ({ project }) =>
    LONG_PROJECTS.includes(project) ? LONG_PROJECTS.indexOf(project) : LONG_PROJECTS.length
  const size = ({ file }) => statSync(join(repository, file)).size
  unknown.sort((a, b) => rank(a) - rank(b) || size(b) - size(a))
  known.sort((a, b) => times[b.file] - times[a.file])
  const queue = { folder, label, files: [...unknown, ...known] }
  writeFileSync(join(folder, 'files.json'), JSON.stringify({ ...settings, files: queue.files }))
  return queue
}

/** How many files no guest has claimed. @param {Queue} queue */
export const filesLeft = queue =>
  queue.files.filter((_, index) => !existsSync(join(queue.folder, `taken-${index}`))).length

/**
 * The outcomes in the order of the queue, and the files that a guest had claimed and left no outcome of. Removes the queue.
 * @param {Queue} queue @returns {{ results: any[], lost: string[], untaken: string[] }}
 */
export function closeQueue(queue) {
  const results = []
  const lost = []
  const untaken = []
  const times = {}
  for (const [index, { file }] of queue.files.entries()) {
    const path = join(queue.folder, `result-${index}.json`)
    if (existsSync(path)) {
      const { result, seconds } = JSON.parse(readFileSync(path, 'utf8'))
      results.push(...result)
      times[file] = seconds
    } else if (existsSync(join(queue.folder, `taken-${index}`))) lost.push(file)
    else untaken.push(file)
  }
  const all = readTimes()
  mkdirSync(join(TIMES, '..'), { recursive: true })
  writeFileSync(TIMES, JSON.stringify({ ...all, [queue.label]: { ...all[queue.label], ...times } }))
  rmSync(queue.folder, { recursive: true, force: true })
  return { results, lost, untaken }
}

function readTimes() {
  try {
    return JSON.parse(readFileSync(TIMES, 'utf8'))
  } catch {
    return {}
  }
}
