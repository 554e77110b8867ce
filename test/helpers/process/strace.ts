// The log that `strace -f -o` writes.

/**
 * Returns the calls of a log, each as one line, in the order in which they ended.
 *
 * strace writes a call in two lines, `… <unfinished ...>` and `<... name resumed>…`, if another thread's or process's
 * call comes in between: only the second has the result. Calls that never ended are not returned.
 */
export function completeCalls(log: string): string[] {
  const begun = new Map<string, string>()
  const complete: string[] = []
  for (const line of log.split('\n')) {
    const pid = /^\d+/.exec(line)?.[0] ?? ''
    const start = / *<unfinished \.\.\.>$/.exec(line)
    const rest = /^\d+ +<\.\.\. \w+ resumed> ?(.*)$/.exec(line)
    if (start) begun.set(pid, line.slice(0, start.index))
    else if (rest) complete.push((begun.get(pid) ?? '') + rest[1]!)
    else if (line !== '') complete.push(line)
  }
  return complete
}
