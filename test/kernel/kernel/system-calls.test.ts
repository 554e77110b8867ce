// What each operation asks of the kernel is what docs/benchmark/system-calls.md says: no call more, and none less.
// @full
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { outcomeOf } from '../../helpers/process/spawner.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

useScratch()

/** strace stops the program at each system call. */
const LIMIT_MS = 240_000
const repository = path.join(__dirname, '../../..')
const WAITS = /^(futex|epoll_p?wait2?|sched_yield|restart_syscall|(read|write) of an eventfd)$/

interface Calls {
  /** A number, or `≤ 20`. */
  readonly counts: Readonly<Record<string, string>>
  readonly waits: number
}

/** The tables of the page, by the headings above them. */
function documented(): Record<string, Calls> {
  const page = readFileSync(path.join(repository, 'docs/benchmark/system-calls.md'), 'utf8')
  const sections = page.split(/^## /m).slice(1)
  return Object.fromEntries(
    sections.map(section => {
      const rows = [...section.matchAll(/^\| (\S+) +\| ((?:≤ )?\d+) +\| (.*?) *\|$/gm)]
      expect(rows.filter(([, call, , why]) => call !== 'waits' && why === '')).toEqual([])
      const { waits, ...counts } = Object.fromEntries(rows.map(([, call, times]) => [call!, times!]))
      return [section.slice(0, section.indexOf('\n')), { counts, waits: Number(waits) }]
    }),
  )
}

/** Of one operation: not what several share, nor a call or two of something else on the way. */
const whole = (times: number): number => Math.floor(times + 0.1)

/** What a removal calls in addition if udev has not deleted the device's link yet. */
const LINK_OF_UDEV: Readonly<Record<string, number>> = { access: 2, readlink: 3 }

/** Only with udev, and only of an operation that removes a device and does not list the call. */
const isOfUdev = (call: string, times: string, listed: Calls['counts'] = {}): boolean =>
  process.env['DM_THIN_UDEV'] === '1' &&
  'DM_DEV_REMOVE' in listed &&
  !(call in listed) &&
  Number(times) <= (LINK_OF_UDEV[call] ?? 0)

/** The page's `≤ 20` where the count is within it. */
const within = (found: string, allowed = ''): string =>
  allowed.startsWith('≤') && Number(found) <= Number(allowed.slice(1)) ? allowed : found

function counted(): Record<string, Calls> {
  const program = path.join(repository, 'test/bench/system-calls.mjs')
  const { status, stdout, stderr } = outcomeOf('node', [program, '--json'], undefined, LIMIT_MS)
  expect([status, stderr.toString()]).toEqual([0, ''])
  const operations = JSON.parse(stdout.toString()) as Record<string, Record<string, number>>
  return Object.fromEntries(
    Object.entries(operations).map(([operation, calls]) => {
      const all = Object.entries(calls)
      const own = all.filter(([call]) => !WAITS.test(call)).map(([call, times]) => [call, whole(times)] as const)
      const waits = all.filter(([call]) => WAITS.test(call)).reduce((sum, [, times]) => sum + times, 0)
      const counts = Object.fromEntries(own.filter(([, times]) => times > 0).map(([call, times]) => [call, `${times}`]))
      return [operation, { counts, waits }]
    }),
  )
}

test('each operation makes the system calls that the page lists, and no others', () => {
  const page = documented()
  const found = counted()
  expect(Object.keys(found).length).toBeGreaterThan(10)
  for (const [operation, { counts, waits }] of Object.entries(found)) {
    const allowed = page[operation]
    const compared = Object.entries(counts)
      .filter(([call, times]) => !isOfUdev(call, times, allowed?.counts))
      .map(([call, times]) => [call, within(times, allowed?.counts[call])])
    expect([operation, Object.fromEntries(compared)]).toEqual([operation, allowed?.counts])
    expect([operation, waits > 2 * allowed!.waits ? waits : 'few waits']).toEqual([operation, 'few waits'])
  }
  expect(Object.keys(page).sort()).toEqual(Object.keys(found).sort())
})
