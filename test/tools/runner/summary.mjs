// One summary from jest's reports of several parts. Pure.

/**
 * @typedef {{ title: string, report?: any, status: number, notes?: string[], seconds: number }} Part
 * @typedef {{ title: string, suites: number, passed: number, failed: number, skipped: number, seconds: number,
 *   problems: string[] }} Counted
 */

/** Enough for the lines of the kernel's log that a failed test shows (test/helpers/kernel/kernel-log.ts). */
const REASON_LINES = 110

/**
 * @param {Part} part
 * @param {{ mayBeEmpty?: boolean, root?: string }} [options] @returns {Counted}
 */
export function countPart(part, { mayBeEmpty = false, root = '' } = {}) {
  const { title, report, seconds, notes = [] } = part
  /** @type {Counted} */
  const counted = { title, suites: 0, passed: 0, failed: 0, skipped: 0, seconds, problems: [] }
  const problem = text => counted.problems.push(`${title}: ${text}`)
  for (const note of notes) problem(note)
  counted.failed += notes.length
  if (!report) {
    counted.failed += 1
    problem(`no report was written (exit status ${part.status})`)
    return counted
  }
  counted.suites = report.testResults.length
  for (const suite of report.testResults) {
    const file = suite.name.startsWith(`${root}/`) ? suite.name.slice(root.length + 1) : suite.name
    let failedHere = 0
    for (const test of suite.assertionResults) {
      if (test.status === 'passed') counted.passed += 1
      else if (test.status === 'failed') {
        counted.failed += 1
        failedHere += 1
        problem([`failed: ${file} > ${test.fullName}`, ...reasonOf(test)].join('\n'))
      } else {
        counted.skipped += 1
        problem(`${test.status}: ${file} > ${test.fullName}`)
      }
    }
    if (suite.status === 'failed' && failedHere === 0) {
      counted.failed += 1
      problem(`failed as a whole: ${file}`)
    }
  }
  if (part.status !== 0 && counted.failed === 0) {
    counted.failed += 1
    problem(`ended with exit status ${part.status}`)
  }
  if (counted.passed + counted.failed === 0 && !mayBeEmpty) {
    counted.failed += 1
    problem('no test ran')
  }
  return counted
}

/** The beginning of what jest says of it, since a long run's own output may be cut off before it. */
function reasonOf({ failureMessages = [] }) {
  const plain = failureMessages.map(text => text.replaceAll(/\x1b\[[0-9;]*m/g, ''))
  return plain.flatMap(text => text.split('\n').slice(0, REASON_LINES)).map(line => `    ${line}`)
}

/**
 * @param {Counted[]} parts
 * @param {{ skippedMayBe?: boolean, took?: { seconds: number, processorSeconds: number } }} [options] `took`: the whole command
 * @returns {{ text: string, ok: boolean }} text whose last line is the total
 */
export function summarize(parts, { skippedMayBe = false, took } = {}) {
  const sum = key => parts.reduce((total, part) => total + part[key], 0)
  const width = Math.max(4, ...parts.map(({ title }) => title.length))
  const row = (title, ...cells) => title.padEnd(width) + cells.map(cell => String(cell).padStart(9)).join('')
  const lines = [row('part', 'suites', 'passed', 'failed', 'skipped', 'time')]
  for (const part of parts) {
    const time = `${Math.round(part.seconds)} s`
    lines.push(row(part.title, part.suites, part.passed, part.failed, part.skipped, time))
  }
  const [passed, failed, skipped] = [sum('passed'), sum('failed'), sum('skipped')]
  const problems = parts.flatMap(part => part.problems)
  const text = [...(problems.length ? [...problems, ''] : []), ...lines, ''].join('\n')
  const times = took && `${minutes(took.seconds)}, with ${minutes(took.processorSeconds)} of processor time\n`
  const ok = failed === 0 && passed > 0 && (skipped === 0 || skippedMayBe)
  return { text: `${text}\n${times ?? ''}${passed} passed, ${failed} failed, ${skipped} skipped`, ok }
}

const minutes = seconds => `${Math.floor(Math.round(seconds) / 60)} min ${Math.round(seconds) % 60} s`
