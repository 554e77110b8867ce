// The tables of the page: one line for each row, one column for each kind of machine.
import { callsText } from './calls-table.mjs'
import { isTargetOn, judge, peerText, verdictText } from './report.mjs'
import { kindsOf, resultOf, titleOf } from './results.mjs'
import { readable } from './stats.mjs'
import { metricNames, metricOf } from './trials.mjs'

/** Fewer rounds than this are named beside the figure. */
const ENOUGH_ROUNDS = 5

/** As many as the row has figures of: some rows have fewer rounds than their run, and a trial may have failed. */
function roundsOf({ runs }, { run, samples = {} }) {
  const counts = Object.values(samples).map(list => list.length)
  return counts.length > 0 ? Math.max(...counts) : runs[run].rounds
}

function figureCell(published, name, kind) {
  const result = resultOf(published, name, kind)
  if (!result) return 'not measured'
  const peers = Object.keys(result.peers).map(label => `${label} ${peerText(result, label)}`)
  const ours = result.ours === null ? 'not measured' : `**${readable(result.ours, result.unit)} ${result.unit}**`
  const where = result.where ? ` on the ${result.where}` : ''
  const rounds = roundsOf(published, result)
  const few = rounds < ENOUGH_ROUNDS ? `<br>(${rounds} round${rounds > 1 ? 's' : ''})` : ''
  const missing = result.errors ? '<br>a trial failed' : ''
  return [`${ours}${where}`, ...peers].join('<br>') + few + missing
}

/** Whether a target is reached; with the machine, unless it is the same on all. */
function targetText(target, all) {
  const own = all.filter(({ kind }) => isTargetOn(target, kind))
  const results = own.length > 0 ? own : all.map(({ kind, result }) => ({ kind, result: { ...result, ours: null } }))
  const of = target.on === undefined ? '' : ` in ${titleOf(target.on)}`
  const judged = results.map(({ kind, result }) => ({ kind, ...judge(result, target) }))
  const known = judged.filter(({ reached }) => reached !== undefined)
  const text = judged[0].text + of
  if (known.length === 0) return `${text}: ${verdictText(undefined)}`
  if (new Set(known.map(({ reached }) => reached)).size === 1) return `${text}: ${verdictText(known[0].reached)}`
  return `${text}: ${known.map(({ kind, reached }) => `${verdictText(reached)} (${titleOf(kind)})`).join(', ')}`
}

function isMissed(targets, results) {
  return targets.some(target =>
    results.some(({ kind, result }) => isTargetOn(target, kind) && judge(result, target).reached === false),
  )
}

function targetCell(published, name) {
  const { targets, reason, unit } = metricOf(name)
  const measured = kindsOf(published).map(kind => ({ kind, result: resultOf(published, name, kind) }))
  const results = measured.filter(({ result }) => result !== undefined)
  const judged = results.length > 0 ? results : [{ kind: '', result: { name, unit, ours: null, peers: {} } }]
  const why = reason && (targets.length === 0 || isMissed(targets, results)) ? [reason] : []
  return [...targets.map(target => targetText(target, judged)), ...why].join('<br>')
}

/** The kinds of machines that have a result of one of these rows; without any, all kinds. */
function kindsWith(published, names) {
  const kinds = kindsOf(published)
  const own = kinds.filter(kind => names.some(name => resultOf(published, name, kind) !== undefined))
  return own.length > 0 ? own : kinds
}

/** @param {Map<string, { calls: number, waits: number }>} documented */
export function tableOf(published, names, documented) {
  const kinds = kindsWith(published, names)
  const header = ['metric', ...kinds.map(titleOf), 'target', 'system calls']
  const rows = names.map(name => {
    const { what, operation } = metricOf(name)
    const figures = kinds.map(kind => figureCell(published, name, kind))
    const calls = callsText(documented, operation)
    return [`\`${name}\`<br>${what}`, ...figures, targetCell(published, name), calls]
  })
  return tableText(header, rows)
}

/** @param {string[]} header @param {string[][]} rows */
export const tableText = (header, rows) =>
  [header, header.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`)

export const forkNames = metricNames.filter(name => name.startsWith('fork-'))
export const startNames = metricNames.filter(name => name.startsWith('start-'))
export const otherNames = metricNames.filter(name => !forkNames.includes(name) && !startNames.includes(name))
