// docs/test-matrix.md: what `npm run test:all` found for each project, on each machine, with and without udev.
//
// A run of some files (`npm run test:all -- test/store`, `DM_THIN_VM=qemu npm run test:all`) replaces their cells and keeps
// the others, so that the matrix can be filled in several runs, of which all of QEMU take hours. The cells are in
// docs/test-matrix.json, for runs on another machine; each keeps the commit that it was run on.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDir } from '../vm/cache.mjs'
import { repository } from '../setup/steps.mjs'
import { TITLES } from './parts.mjs'
import { testFiles } from './queue.mjs'
import { countPart } from './summary.mjs'

const CELLS = 'docs/test-matrix.json'
const PAGE = 'docs/test-matrix.md'

/**
 * @typedef {{ passed: number, failed: number, skipped: number, seconds: number, commit: string, date: string }} Cell
 * @typedef {Record<string, Record<string, Cell>>} Cells by project, then by place
 */

/** Adds what the parts of a run found to the cells, and writes the page. @param {import('./summary.mjs').Part[]} parts */
export async function writeMatrix(parts) {
  const changed = git('status', '--porcelain', '--', '.', `:!${CELLS}`, `:!${PAGE}`) !== ''
  const commit = git('rev-parse', '--short', 'HEAD') + (changed ? ' with changes' : '')
  const run = { commit, date: new Date().toISOString().slice(0, 10) }
  const cells = addParts(readCells(), parts, { ...run, filesOf: project => testFiles([project]).length })
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
 * which not all files ended keeps its cell.
 * @param {Cells} before @param {import('./summary.mjs').Part[]} parts
 * @param {{ commit: string, date: string, filesOf: (project: string) => number }} run
 * @returns {Cells}
 */
export function addParts(before, parts, { filesOf, ...run }) {
  /** @type {Cells} */
  const cells = structuredClone(before)
  for (const part of parts) {
    const place = part.title.replace(/:.*/, '')
    for (const [project, suites] of byProject(part)) {
      if (suites.length < filesOf(project)) continue
      const { passed, failed, skipped } = countPart({ ...part, status: 0, notes: [], report: { testResults: suites } })
      const seconds = Math.round(
        suites.reduce((total, { startTime, endTime }) => total + endTime - startTime, 0) / 1000,
      )
      cells[project] = { ...cells[project], [place]: { passed, failed, skipped, seconds, ...run } }
    }
  }
  return cells
}

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
  const runs = [...new Set(Object.values(cells).flatMap(row => Object.values(row).map(runText)))]
  return `# Test matrix

[Documentation](README.md)

What \`npm run test:all\` found: each project of the [tests](../CONTRIBUTING.md#tests) in each guest, with and without udev. A cell states how many tests passed, how many failed if any did, and the time that their files took, one after the other. An empty cell was not run; unit and package tests need no guest. Node ${node}; kernels: ${kernels}. Written by the command, on ${runs.join(', ')}.

${line(['project', ...places.map(place => (place === 'here' ? 'no guest' : place))])}
${line(['---', ...places.map(() => '---:')])}
${rows.join('\n')}
`
}

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
