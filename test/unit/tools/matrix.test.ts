import { ask } from '../../helpers/process/ask.js'

const suite = (name: string, ...statuses: string[]) => ({
  name,
  startTime: 1000,
  endTime: 3500,
  assertionResults: statuses.map((status, index) => ({ status, fullName: `test ${index}` })),
})
const kernel = {
  title: 'QEMU with udev',
  report: {
    testResults: [
      suite('/tree/test/kernel/pool/a.test.ts', 'passed', 'failed'),
      suite('/tree/test/store/b.test.ts', 'passed'),
    ],
  },
}
const races = {
  title: 'QEMU with udev: races',
  report: { testResults: [suite('/tree/test/races/c.test.ts', 'passed')] },
}

/** The page after runs one after the other. */
const textOf = (...runs: unknown[][]) =>
  ask(
    'runner/matrix.mjs',
    `let cells = {};
     ${JSON.stringify(runs)}.forEach((parts, at) => (cells = m.addParts(cells, parts, { commit: 'c' + at, date: '2026-01-0' + (at + 1), filesOf: project => (project === 'fault' ? 2 : 1) })))
     return m.matrixText(cells, { kernels: 'uml 6.12', node: 'v24' })`,
  ) as string

describe('the test matrix', () => {
  test('has a row for each project and a column for each place', () => {
    const text = textOf([kernel, races])
    expect(text).toContain('| project | QEMU with udev |')
    expect(text).toContain('| kernel | 1, 1 failed, 3 s |')
    expect(text).toContain('| store | 1, 3 s |')
    expect(text).toContain('| races | 1, 3 s |')
  })

  test('keeps the cells that a later run does not replace, and names the commits of both runs', () => {
    const text = textOf([kernel], [{ ...races, title: 'User-Mode Linux: races' }])
    expect(text).toContain('| project | QEMU with udev | User-Mode Linux |')
    expect(text).toContain('| kernel | 1, 1 failed, 3 s |  |')
    expect(text).toContain('| races |  | 1, 3 s |')
    expect(text).toContain('on 2026-01-01 (commit c0), 2026-01-02 (commit c1).')
  })

  test('calls the column of tests without devices by what they run in', () => {
    const unit = { title: 'here: unit', report: { testResults: [suite('/tree/test/unit/a.test.ts', 'passed')] } }
    expect(textOf([unit])).toContain('| project | no guest |')
  })

  test('keeps the cell of a project of which not all files were run', () => {
    const part = { title: 'QEMU', report: { testResults: [suite('/tree/test/fault/a.test.ts', 'passed')] } }
    expect(textOf([part])).not.toContain('| fault |')
  })

  test('shows the result of the last run of a cell', () => {
    const fixed = {
      ...kernel,
      report: { testResults: [suite('/tree/test/kernel/pool/a.test.ts', 'passed', 'passed')] },
    }
    expect(textOf([kernel], [fixed])).toContain('| kernel | 2, 3 s |')
  })

  test('replaces the files of a cell that had failed, and says so, if they are run without the others', () => {
    const whole = [
      suite('/tree/test/fault/a.test.ts', 'passed', 'failed', 'failed'),
      suite('/tree/test/fault/pool/b.test.ts', 'passed'),
    ]
    const again = suite('/tree/test/fault/a.test.ts', 'passed', 'passed', 'passed', 'passed')
    const part = (...testResults: unknown[]) => ({ title: 'QEMU', report: { testResults } })
    expect(textOf([part(...whole)])).toContain('| fault | 2, 2 failed, 5 s |')
    const text = textOf([part(...whole)], [part(again)])
    expect(text).toContain('| fault | 5, 5 s |')
    expect(text).toContain('2026-01-01 (commit c0), 2026-01-02 (commit c1) for `test/fault/a.test.ts` again.')
    const stillFailing = suite('/tree/test/fault/a.test.ts', 'passed', 'passed', 'failed')
    expect(textOf([part(...whole)], [part(stillFailing)])).toContain('| fault | 3, 1 failed, 5 s |')
    expect(textOf([part(...whole)], [part(stillFailing)], [part(again)])).toContain('| fault | 5, 5 s |')
    const passedBefore = suite('/tree/test/fault/pool/b.test.ts', 'passed', 'passed')
    expect(textOf([part(...whole)], [part(passedBefore)])).toContain('| fault | 2, 2 failed, 5 s |')
  })

  test('can be filled for one machine, with or without udev', () => {
    const places = (...words: string[]) =>
      ask('runner/parts.mjs', `return m.everyPart(${JSON.stringify(words)}).map(part => part.title)`, {
        DM_THIN_VM: 'qemu',
      })
    expect(places('--udev')).toEqual(['QEMU with udev', 'QEMU with udev: races'])
    expect(places('--no-udev')).toEqual(['QEMU', 'QEMU: races'])
    expect(places()).toEqual(['QEMU', 'QEMU with udev', 'QEMU: races', 'QEMU with udev: races'])
  })
})
