// Two runs compared, row by row: `npm run bench -- --compare A.json B.json`.
import { ratio, readable } from './stats.mjs'

/** A change smaller than this says nothing: runs differ as much by themselves. */
const NOISE = 0.1

/** From a report of one run, or from the published results of several: rows by name and machine. */
function rowsOf(report) {
  const runs = report.runs ?? [report]
  const entries = report.results.map(result => [`${result.name}, ${runs[result.run ?? 0].machine.accelerator}`, result])
  return new Map(entries)
}

function verdict(change) {
  if (Math.abs(change - 1) < NOISE) return 'as before'
  return change > 1 ? 'slower' : 'faster'
}

/** The figure in units of the peer's: what both runs have in common, if they are not of the same machine. */
function besidePeers(before, after) {
  const labels = Object.keys(after.peers).filter(label => label in before.peers)
  return labels.map(label => {
    const [was, is] = [before, after].map(({ ours, peers }) => ratio(ours / peers[label]))
    return `${was} → ${is} × ${label}`
  })
}

/**
 * One object for each row that both have a figure of, and the names of the rows that only one has.
 * @returns {{ rows: { name: string, before: number, after: number, unit: string, change: number, verdict: string,
 *   peers: string[] }[], onlyBefore: string[], onlyAfter: string[] }}
 */
export function compareReports(first, second) {
  const [before, after] = [rowsOf(first), rowsOf(second)]
  const has = (rows, key) => typeof rows.get(key)?.ours === 'number'
  const both = [...after.keys()].filter(key => has(before, key) && has(after, key))
  const rows = both.map(key => {
    const [was, is] = [before.get(key), after.get(key)]
    const change = is.ours / was.ours
    const peers = besidePeers(was, is)
    return { name: key, before: was.ours, after: is.ours, unit: is.unit, change, verdict: verdict(change), peers }
  })
  const only = (some, others) => [...some.keys()].filter(key => has(some, key) && !has(others, key))
  return { rows, onlyBefore: only(before, after), onlyAfter: only(after, before) }
}

export function comparisonText({ rows, onlyBefore, onlyAfter }) {
  const lines = rows.flatMap(({ name, before, after, unit, change, verdict: said, peers }) => [
    `${name}: ${readable(before)} → ${readable(after)} ${unit}, ${ratio(change)} × (${said})`,
    ...peers.map(peer => `  ${peer}`),
  ])
  const missing = (names, which) => (names.length > 0 ? [`only in the ${which}: ${names.join('; ')}`] : [])
  return [...lines, ...missing(onlyBefore, 'first'), ...missing(onlyAfter, 'second')].join('\n')
}
