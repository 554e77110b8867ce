// The counts of docs/benchmark/system-calls.md, which a test compares with what system-calls.mjs counts.

/** @param {string} page @returns {Map<string, { calls: number, waits: number }>} by the heading of the operation */
export function documentedCalls(page) {
  const sections = page.split(/^## /m).slice(1)
  return new Map(
    sections.map(section => {
      const rows = [...section.matchAll(/^\| (\S+) +\| (?:≤ )?(\d+) +\|/gm)].map(([, call, times]) => [
        call,
        Number(times),
      ])
      const sum = some => some.reduce((all, [, times]) => all + times, 0)
      const isWait = ([call]) => call === 'waits'
      const counts = { calls: sum(rows.filter(row => !isWait(row))), waits: sum(rows.filter(isWait)) }
      return [section.slice(0, section.indexOf('\n')), counts]
    }),
  )
}

/** "11 + 10 waits", with a link to the reasons; nothing for a row that is no operation of that page. */
export function callsText(documented, operation) {
  const counts = documented.get(operation)
  if (counts === undefined) return ''
  const anchor = operation
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')
  return `[${counts.calls} + ${counts.waits} waits](system-calls.md#${anchor})`
}
