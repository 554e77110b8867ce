// docs/test-matrix.md: what `npm run test:all` found for each project, on each machine, with and without udev.
//
// A run of some files (`npm run test:all -- test/store`, `DM_THIN_VM=qemu npm run test:all`) replaces their cells and keeps
// the others, so that the matrix can be filled in several runs. Each cell keeps the commit that it was run on.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { cacheDir } from '../vm/cache.mjs'
import { repository } from '../setup/steps.mjs'
import { countPart } from './summary.mjs'

const CELLS = join(repository, '.cache/results/matrix.json')

/**
 * @typedef {{ passed: number, failed: number, skipped: number, seconds: number, commit: string, date: string }} Cell
 * @typedef {Record<string, Record<string, Cell>>} Cells by project, then by place
 */

/** Adds what the parts of a run found to the cells, and writes the page. @param {import('./summary.mjs').Part[]} parts */
export function writeMatrix(parts) {
  const commit = git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') ? ' with changes' : '')
  const cells = addParts(readCells(), parts, { commit, date: new Date().toISOString().slice(0, 10) })
  mkdirSync(dirname(CELLS), { recursive: true })
  writeFileSync(CELLS, JSON.stringify(cells))
  const kernels = ['uml', 'qemu'].map(name => `${name} ${newest(name)}`).join(', ')
  writeFileSync(join(repository, 'docs/test-matrix.md'), matrixText(cells, { kernels, node: process.version }))
}

/**
 * Returns the cells with those of the parts replaced. The title of a part is `PLACE` or `PLACE: PROJECTS`.
 * @param {Cells} before @param {import('./summary.mjs').Part[]} parts @param {{ commit: string, date: string }} run
 * @returns {Cells}
 */
export function addParts(before, parts, run) {
  /** @type {Cells} */
  const cells = structuredClone(before)
  for (const part of parts) {
    const place = part.title.replace(/:.*/, '')
    for (const [project, suites] of byProject(part)) {
      const { passed, failed, skipped } = countPart({ ...part, status: 0, notes: [], report: { testResults: suites } })
      const seconds = suites.reduce((total, { startTime, endTime }) => total + (endTime - startTime) / 1000, 0)
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

Result of \`npm run test:all\`, which runs each project in each guest, with and without udev: ${runs.join(', ')}, Node ${node}; kernels: ${kernels}. A cell states how many tests passed, how many failed if any did, and the time that their files took.

${line(['project', ...places])}
${line(['---', ...places.map(() => '---:')])}
${rows.join('\n')}
`
}

const runText = ({ commit, date }) => `commit ${commit} on ${date}`

/** @param {Cell | undefined} cell */
function cellText(cell) {
  if (cell === undefined) return ''
  const { passed, failed, skipped, seconds } = cell
  const more = [failed && `${failed} failed`, skipped && `${skipped} skipped`, `${Math.round(seconds)} s`]
  return [passed, ...more.filter(Boolean)].join(', ')
}

/** @returns {Cells} */
function readCells() {
  try {
    return JSON.parse(readFileSync(CELLS, 'utf8'))
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
