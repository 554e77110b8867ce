// Rounds of trials, interleaved with the peers, folded into results.
import { range } from './plan.mjs'
import { isAvailable, runTrial } from './process.mjs'
import { fromNanoseconds, median, significant } from './stats.mjs'
import { isNamed, metricOf } from './trials.mjs'

/**
 * The first third of a trial's samples is its warm-up, for every peer alike: a service asks for its thousandth snapshot
 * as well as for its first, and a just started process (its code not yet compiled, pages not yet faulted in) is not what
 * is compared.
 */
function warm(samples) {
  return samples.slice(Math.floor(samples.length / 3))
}

export class Collection {
  /** metric → label → [median of each trial, in ns] */
  #medians = new Map()
  #errors = new Map()
  #headlines = new Map()

  add(entry, label, report) {
    const combined = Object.entries(entry.combine ?? {}).map(([metric, parts]) => [
      metric,
      [parts.reduce((sum, part) => sum + median(warm(report[part])), 0)],
    ])
    const reported = entry.combine ? combined : Object.entries(report)
    for (const [key, samples] of reported) {
      const [name, otherLabel] = key.split('@')
      const metric = entry.rename?.[name] ?? name
      const as = otherLabel ?? entry.relabel?.[metric]?.[label] ?? label
      if (entry.metrics.includes(metric)) this.#bucket(metric, as).push(median(warm(samples)))
    }
    for (const metric of entry.metrics) this.#headlines.set(metric, entry.headline ?? 'ours')
  }

  fail(entry, error) {
    for (const metric of entry.metrics) {
      const known = this.#errors.get(metric) ?? new Set()
      this.#errors.set(metric, known.add(error.message))
    }
  }

  #bucket(metric, label) {
    if (!this.#medians.has(metric)) this.#medians.set(metric, new Map())
    const labels = this.#medians.get(metric)
    if (!labels.has(label)) labels.set(label, [])
    return labels.get(label)
  }

  /** One result per wanted metric, also for one that failed: a missing figure is said, not left out. */
  results(metrics) {
    return metrics.map(name => {
      const { unit, what } = metricOf(name)
      const labels = this.#medians.get(name) ?? new Map()
      const inUnit = ns => significant(fromNanoseconds(ns, unit))
      const headline = this.#headlines.get(name) ?? 'ours'
      const figures = Object.fromEntries([...labels].map(([label, values]) => [label, inUnit(median(values))]))
      const { ours: _, ...peers } = figures
      const samples = Object.fromEntries([...labels].map(([label, values]) => [label, values.map(inUnit)]))
      const errors = [...(this.#errors.get(name) ?? [])]
      return { name, unit, what, ours: figures[headline] ?? null, peers, samples, ...(errors.length > 0 && { errors }) }
    })
  }
}

/** The order turns by one each round, so that nobody always comes first on a quiet machine. */
function turned(list, by) {
  const at = by % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}

/**
 * Runs every wanted entry of the table `rounds` times. A trial that fails is reported with its result and does
 * not end the run; `recover` gives the pool for the next one.
 */
export async function collect({ entries, rounds, labels, pool, recover, progress }) {
  const collection = new Collection()
  let current = pool
  const attempt = async (entry, work) => {
    try {
      await work()
    } catch (error) {
      progress(`failed: ${error.message}`)
      collection.fail(entry, error)
      current = recover?.() ?? current
    }
  }
  const run = (program, trial, options, limitMs) => runTrial(program, trial, { ...current, ...options }, limitMs)
  const everyPeer = async (entry, round) => {
    for (const [label, [program, options, trial = entry.trial]] of turned(Object.entries(entry.peers), round)) {
      if (labels && !isNamed(labels, label)) continue
      if (!isAvailable(program)) {
        progress(`${label} is not there: left out`)
        continue
      }
      progress(`round ${round + 1}/${rounds}: ${entry.metrics.join(', ')}: ${label}`)
      await attempt(entry, async () => collection.add(entry, label, await run(program, trial, options, entry.limitMs)))
    }
  }
  for (const round of range(rounds)) {
    // Deleted volumes leave their blocks in the pool's file, which lies in memory.
    if (round > 0) current = recover?.() ?? current
    const due = entries.filter(({ stage, rounds: most = rounds }) => !stage && round < most)
    for (const entry of due) await everyPeer(entry, round)
  }
  // What a stage makes the other trials would feel, so it is up for all rounds of its own, after theirs.
  for (const entry of entries.filter(({ stage }) => stage)) {
    const { program, before, after, options } = entry.stage
    await attempt(entry, async () => {
      await run(program, before, options)
      for (const round of range(Math.min(rounds, entry.rounds ?? rounds))) await everyPeer(entry, round)
    })
    await attempt(entry, () => run(program, after, options))
  }
  return collection
}
