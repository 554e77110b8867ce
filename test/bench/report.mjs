// What came out, for people: a table with the ratio to each peer and the target beside it, reached or not.
import { ratio, readable } from './stats.mjs'
import { metricOf } from './trials.mjs'

/** A target as text, and whether the result reaches it; undefined when a figure for it is missing. */
export function judge(result, target) {
  const { ours, peers, unit } = result
  if ('below' in target) {
    const measured = target.where === result.where ? ours : null
    const where = target.where ? ` on the ${target.where}` : ''
    return { text: `< ${target.below} ${unit}${where}`, reached: measured === null ? undefined : ours < target.below }
  }
  if ('ahead' in target) {
    const measured = target.ahead.filter(label => peers[label] !== undefined)
    const known = ours !== null && measured.length > 0
    const text = `ahead of ${(measured.length > 0 ? measured : target.ahead).join(', ')}`
    return { text, reached: known ? measured.every(label => ours < peers[label]) : undefined }
  }
  const peer = peers[target.peer]
  const known = ours !== null && peer !== undefined
  if ('longer' in target) {
    const text = `≤ ${target.longer} ${unit} longer than ${target.peer}`
    return { text, reached: known ? ours - peer <= target.longer : undefined }
  }
  if ('faster' in target) {
    const text = `≥ ${target.faster} × faster than ${target.peer}`
    return { text, reached: known ? ours * target.faster <= peer : undefined }
  }
  return {
    text: `≤ ${Number(target.atMost.toPrecision(3))} × ${target.peer}`,
    reached: known ? ours <= target.atMost * peer : undefined,
  }
}

const verdicts = new Map([
  [true, 'reached'],
  [false, 'not reached'],
  [undefined, 'not measured'],
])

/** @param {boolean | undefined} reached */
export const verdictText = reached => verdicts.get(reached)

/** Whether a target is one of a kind of machine: some are of one kind alone. */
export const isTargetOn = (target, kind) => target.on === undefined || target.on === kind

/** @param {string} [kind] of the machine; without it the targets of all kinds */
export function targetTexts(result, kind) {
  const targets = metricOf(result.name).targets.filter(target => kind === undefined || isTargetOn(target, kind))
  return targets.map(target => {
    const { text, reached } = judge(result, target)
    return `${text}: ${verdictText(reached)}`
  })
}

/** "21.9 (÷ 13.7)": the peer's figure and how many times ours it is. */
export function peerText(result, label) {
  const value = result.peers[label]
  if (value === undefined) return '–'
  const text = readable(value, result.unit)
  return result.ours === null ? text : `${text} (${ratio(value / result.ours)} ×)`
}

export function printReport({ machine, results }, print = console.log) {
  const { accelerator, kernel, node, cores, cpu, memory, udev } = machine
  print(
    `\n${accelerator}, Linux ${kernel}, Node ${node}, ${cores} cores (${cpu}), ${memory}, udev ${udev ? 'on' : 'off'}`,
  )
  print('medians per operation; in brackets how many times our figure the peer takes\n')
  for (const result of results) {
    print(
      `${result.name.padEnd(16)} ours ${readable(result.ours, result.unit)} ${result.unit}${result.where ? ` on the ${result.where}` : ''}`,
    )
    const peers = Object.keys(result.peers).map(label => `${label} ${peerText(result, label)}`)
    if (peers.length > 0) print(`${' '.repeat(17)}${peers.join('   ')}`)
    for (const text of targetTexts(result, accelerator)) print(`${' '.repeat(17)}${text}`)
    for (const error of result.errors ?? []) print(`${' '.repeat(17)}failed: ${error}`)
  }
}
