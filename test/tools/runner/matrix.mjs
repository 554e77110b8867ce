// docs/project/test-matrix.md: what `npm run test:all` found for each project, on each machine, with and without udev.
//
// A run of some projects (`npm run test:all -- test/store`, `DM_THIN_VM=qemu npm run test:all`) replaces their cells and
// keeps the others, so that the matrix can be filled in several runs, of which all of QEMU take hours. A run of the files
// that failed in a cell replaces their part of it: a fix does not need another hour. The cells are in
// docs/project/test-matrix.json, for runs on another machine; each keeps the commits that it was run on.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDir } from '../vm/cache.mjs'
import { repository } from '../setup/steps.mjs'
import { TITLES } from './parts.mjs'
import { testFiles } from './queue.mjs'
import { countPart } from './summary.mjs'

const CELLS = 'docs/project/test-matrix.json'
const PAGE = 'docs/project/test-matrix.md'

/**
 * @typedef {{ passed: number, failed: number, skipped: number, seconds: number }} Counts
 * @typedef {{ commit: string, date: string }} Commit
 * @typedef {Counts & Commit & { failures?: Record<string, Counts>, again?: (Commit & { file: string })[] }} Cell
 *   `failures`: what it has of the files in which a test failed; `again`: files that were run again since
 * @typedef {Record<string, Record<string, Cell>>} Cells by project, then by place
 */

/** Adds what the parts of a run found to the cells, and writes the page. @param {import('./summary.mjs').Part[]} parts */
export async function writeMatrix(parts) {
  const changed = git('status', '--porcelain', '--', '.', `:!${CELLS}`, `:!${PAGE}`) !== ''
  const commit = git('rev-parse', '--short', 'HEAD') + (changed ? ' with changes' : '')
  const run = { commit, date: new Date().toISOString().slice(0, 10) }
  const cells = addParts(readCells(), parts, {
    ...run,
    filesOf: project => testFiles([project], [], { full: true }).length,
  })
  const kernels = Object.entries(TITLES).map(([name, title]) => `${newest(name)} (${title})`)
  const text = matrixText(cells, { kernels: kernels.join(', '), node: process.version })
  const { format, resolveConfig } = await import('prettier') // not there before the packages are
  for (const [file, content] of [
    [CELLS, JSON.stringify(cells)],
    [PAGE, text],
  ]) {
    const path = join(repository, file)
    writeFileSync(path, await format(content, { ...(await resolveConfig(path)), filepath: path }))
  }
}

/**
 * Returns the cells with those of the parts replaced. The title of a part is `PLACE` or `PLACE: PROJECTS`. A project of
 * which not all files ended keeps its cell, but for files that had failed in it.
 * @param {Cells} before @param {import('./summary.mjs').Part[]} parts
 * @param {Commit & { filesOf: (project: string) => number }} run
 * @returns {Cells}
 */
export function addParts(before, parts, { filesOf, ...run }) {
  /** @type {Cells} */
  const cells = structuredClone(before)
  for (const part of parts) {
    const place = part.title.replace(/:.*/, '')
    for (const [project, suites] of byProject(part)) {
      const isWhole = suites.length >= filesOf(project)
      const cell = isWhole ? { ...sumOf(suites), ...run } : withFilesAgain(cells[project]?.[place], suites, run)
      if (cell) cells[project] = { ...cells[project], [place]: cell }
    }
  }
  return cells
}

/** What a cell has of suites, and of those in which a test failed. @param {any[]} suites */
function sumOf(suites) {
  const failed = suites.filter(suite => countsOf([suite]).failed > 0)
  const failures = Object.fromEntries(failed.map(suite => [fileOf(suite), countsOf([suite])]))
  return { ...countsOf(suites), ...(failed.length > 0 && { failures }) }
}

/**
 * The cell with another result of the files that had failed in it.
 * @param {Cell | undefined} cell @param {any[]} suites @param {Commit} run @returns {Cell | undefined}
 */
function withFilesAgain(cell, suites, run) {
  const again = suites.filter(suite => cell?.failures?.[fileOf(suite)])
  if (!cell?.failures || again.length === 0) return cell
  const { failures, ...rest } = cell
  const kept = Object.entries(failures).filter(([file]) => !again.some(suite => fileOf(suite) === file))
  const { failures: stillFailed = {}, ...found } = sumOf(again)
  const left = { ...Object.fromEntries(kept), ...stillFailed }
  const replaced = again.map(suite => failures[fileOf(suite)])
  const changed = name => cell[name] + found[name] - replaced.reduce((sum, counts) => sum + counts[name], 0)
  return {
    ...rest,
    passed: changed('passed'),
    failed: changed('failed'),
    skipped: changed('skipped'),
    seconds: changed('seconds'),
    ...(Object.keys(left).length > 0 && { failures: left }),
    again: [...(cell.again ?? []), ...again.map(suite => ({ file: fileOf(suite), ...run }))],
  }
}

/** @param {any[]} suites @returns {Counts} */
function countsOf(suites) {
  const { passed, failed, skipped } = countPart({ title: '', status: 0, seconds: 0, report: { testResults: suites } })
  const seconds = Math.round(suites.reduce((total, { startTime, endTime }) => total + endTime - startTime, 0) / 1000)
  return { passed, failed, skipped, seconds }
}

/** @param {{ name: string }} suite */
const fileOf = ({ name }) => name.slice(name.lastIndexOf('/test/') + 1)

/**
 * The suites of a part by the folder of `test/` that they are in.
 * @param {import('./summary.mjs').Part} part @returns {Map<string, any[]>}
 */
function byProject({ report }) {
  const projects = new Map()
  for (const suite of report?.testResults ?? []) {
    const project = /\/test\/([^/]+)\/(?!.*\/test\/)/.exec(suite.name)?.[1]
    projects.set(project, [...(projects.get(project) ?? []), suite])
  }
  return projects
}

/** @param {Cells} cells @param {{ kernels: string, node: string }} about */
export function matrixText(cells, { kernels, node }) {
  const places = [...new Set(Object.values(cells).flatMap(row => Object.keys(row)))]
  const line = words => `| ${words.join(' | ')} |`
  const rows = Object.entries(cells).map(([project, row]) =>
    line([project, ...places.map(place => cellText(row[place]))]),
  )
  const runs = [...new Set(Object.values(cells).flatMap(row => Object.values(row).flatMap(runTexts)))]
  return `# Test matrix

[Documentation](../README.md)

What \`npm run test:all\` found: each project of the [tests](../../CONTRIBUTING.md#tests) in each guest, with and without udev. A cell states how many tests passed, how many failed if any did, and the time that their files took, one after the other. An empty cell was not run; unit and package tests need no guest. A file in which a test failed may have been run again by itself after a fix: then its second result is in the cell, and its name is behind the commit of that run. Node ${node}; kernels: ${kernels}. Written by the command, on ${runs.join(', ')}.

${line(['project', ...places.map(place => (place === 'here' ? 'no guest' : place))])}
${line(['---', ...places.map(() => '---:')])}
${rows.join('\n')}
`
}

/** @param {Cell} cell */
const runTexts = ({ again = [], ...run }) => [
  runText(run),
  ...again.map(({ file, ...later }) => `${runText(later)} for \`${file}\` again`),
]

/** @param {Commit} run */
const runText = ({ commit, date }) => `${date} (commit ${commit})`

/** @param {Cell | undefined} cell */
function cellText(cell) {
  if (cell === undefined) return ''
  const { passed, failed, skipped, seconds } = cell
  const more = [failed && `${failed} failed`, skipped && `${skipped} skipped`, `${seconds} s`]
  return [passed, ...more.filter(Boolean)].join(', ')
}

/** @returns {Cells} */
function readCells() {
  try {
    return JSON.parse(readFileSync(join(repository, CELLS), 'utf8'))
  } catch {
    return {}
  }
}

/** @param {string[]} args */
const git = (...args) => spawnSync('git', args, { cwd: repository, encoding: 'utf8' }).stdout.trim()

/** @param {string} machine */
function newest(machine) {
  const versions = readdirSync(join(cacheDir(), machine)).filter(name => /^\d/.test(name))
  return versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
}
