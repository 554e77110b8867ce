// Runs jest for one part of the tests in this machine, and reads its report. Guests have a runner of their own.
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { testFiles } from './queue.mjs'
import { openly, repository, say } from '../setup/steps.mjs'

const JEST = join(repository, 'node_modules/jest/bin/jest.js')
const results = join(repository, '.cache/results')

/**
 * @param {{ title: string, files: import('./queue.mjs').TestFile[], options: string[], devices?: boolean }} part
 *   `options`: of jest. `devices`: one file after the other, since tests of one kernel must not meet each other's devices by
 *   chance
 * @returns {Promise<import('./summary.mjs').Part>}
 */
export async function runPart({ title, files, options, devices = false }) {
  say(`\n== ${title}`)
  mkdirSync(results, { recursive: true })
  const file = join(results, `${title.replaceAll(/[^a-z0-9]+/gi, '-')}.json`)
  rmSync(file, { force: true })
  const started = Date.now()
  // On every processor: jest by itself leaves one, which is half of a small machine. And more, because tests wait for programs:
  // thin_check sleeps for half a second.
  const workers = devices ? '--runInBand' : '--maxWorkers=150%'
  const projects = [...new Set(files.map(({ project }) => project))]
  const others = testFiles(projects, [], { full: true }).filter(({ file }) => !files.some(each => each.file === file))
  // jest prints the paths that it is given: the shorter list.
  const paths =
    others.length < files.length
      ? others.map(each => `--testPathIgnorePatterns=/${each.file}$`)
      : ['--runTestsByPath', ...files.map(each => each.file)]
  const jest = [JEST, '--selectProjects', ...projects, workers, '--passWithNoTests', '--json', `--outputFile=${file}`]
  // Progress goes to standard error; with --json standard output holds nothing for a person.
  const status = await openly([
    'sh',
    '-c',
    'exec "$@" >/dev/null',
    'jest',
    process.execPath,
    ...jest,
    ...options,
    ...paths,
  ])
  return { title, report: read(file), status, seconds: (Date.now() - started) / 1000 }
}

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
