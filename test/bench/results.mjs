// The published results: each row keeps the run in which it was measured, so that a run of some rows replaces only those.
import { existsSync, readFileSync } from 'node:fs'
import { metricNames } from './trials.mjs'

/** Kinds of machines in the order of the page's columns, with their titles. */
const TITLES = new Map([
  ['uml', 'User-Mode Linux'],
  ['kvm', 'QEMU with KVM'],
  ['tcg', 'QEMU, emulated'],
  ['hypervisor', 'virtual machine'],
  ['none', 'machine'],
])

export const kindOf = ({ machine }) => machine.accelerator
export const titleOf = kind => TITLES.get(kind) ?? kind
export const nothing = { runs: [], results: [] }

export function readPublished(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : nothing
}

/**
 * The published results with those of a run in place of earlier ones of the same rows on the same kind of machine.
 * A result names its run by its index in `runs`.
 */
export function merge(published, { results, ...run }) {
  const replaced = new Set(results.map(({ name }) => name))
  const kept = published.results.filter(({ name, run: at }) => {
    const isSame = replaced.has(name) && kindOf(published.runs[at]) === kindOf(run)
    return metricNames.includes(name) && !isSame
  })
  const used = published.runs.filter((_, index) => kept.some(each => each.run === index))
  const moved = kept.map(each => ({ ...each, run: used.indexOf(published.runs[each.run]) }))
  const added = results.map(result => ({ ...result, run: used.length }))
  const order = ({ name }) => metricNames.indexOf(name)
  const all = [...moved, ...added].sort((a, b) => order(a) - order(b) || a.run - b.run)
  return { runs: added.length > 0 ? [...used, run] : used, results: all }
}

/** The kinds of machines that have results, in the order of the columns. */
export function kindsOf({ runs }) {
  const kinds = [...new Set(runs.map(kindOf))]
  const order = [...TITLES.keys()]
  return kinds.sort((a, b) => order.indexOf(a) - order.indexOf(b))
}

/** The result of a row on a kind of machine. */
export function resultOf({ runs, results }, name, kind) {
  return results.find(result => result.name === name && kindOf(runs[result.run]) === kind)
}

/** What the machines of some runs are, their load if it was recorded, and when they ran: "Linux 7.2.7, Node v20.20.2, 1 processor, …". */
export function machinesText(runs) {
  const machines = runs.map(({ machine }) => machine)
  const of = read => [...new Set(machines.map(read).filter(Boolean))].sort().join(' or ')
  const dates = machines.map(({ date }) => date.slice(0, 10)).sort()
  const days = [...new Set([dates[0], dates.at(-1)])].join(' to ')
  const processors = of(({ cores }) => `${cores} processor${cores > 1 ? 's' : ''}`)
  const host = of(machine => machine.host?.cpu)
  const loads = machines.flatMap(({ load }) => (load === undefined ? [] : [load.toFixed(1)]))
  const all = [
    `Linux ${of(({ kernel }) => kernel)}`,
    `Node ${of(({ node }) => node)}`,
    processors,
    of(({ memory }) => memory),
    ...(loads.length > 0 ? [`load ${loads.join(' or ')}`] : []),
  ]
  return [...all, ...(host ? [`on ${host}`] : []), days].join(', ')
}
