import { ask } from '../../helpers/process/ask.js'

const suite = (name: string, ...statuses: string[]) => ({
  name,
  status: statuses.includes('failed') ? 'failed' : 'passed',
  assertionResults: statuses.map((status, index) => ({ status, fullName: `test ${index}` })),
})
const part = (report: unknown, status = 0) => ({ title: 'part', report, status, seconds: 1 })

function summarize(parts: unknown[], options = "{ root: '/tree' }") {
  const list = JSON.stringify(parts)
  return ask('runner/summary.mjs', `return m.summarize(${list}.map(p => m.countPart(p, ${options})))`) as {
    text: string
    ok: boolean
  }
}
const lastLine = (text: string) => text.split('\n').at(-1)

describe('the summary of all parts', () => {
  test('adds up the parts in its last line', () => {
    const one = part({ testResults: [suite('/tree/a.test.ts', 'passed', 'passed')] })
    const { text, ok } = summarize([one, one])
    expect(lastLine(text)).toBe('4 passed, 0 failed, 0 skipped')
    expect(ok).toBe(true)
  })

  test('names a skipped test and counts it as a failure', () => {
    const { text, ok } = summarize([part({ testResults: [suite('/tree/a.test.ts', 'passed', 'pending', 'todo')] })])
    expect(text).toContain('part: pending: a.test.ts > test 1')
    expect(text).toContain('part: todo: a.test.ts > test 2')
    expect(lastLine(text)).toBe('1 passed, 0 failed, 2 skipped')
    expect(ok).toBe(false)
  })

  test('counts a part without a report, without tests, or with a bad status as a failure', () => {
    const good = part({ testResults: [suite('/tree/a.test.ts', 'passed')] })
    for (const bad of [part(undefined, 124), part({ testResults: [] }), { ...good, status: 1 }]) {
      const { text, ok } = summarize([good, bad])
      expect(lastLine(text)).toMatch(/ 1 failed, 0 skipped$/)
      expect(ok).toBe(false)
    }
  })

  test('shows the beginning of the reason of a failure, without colours', () => {
    const failed = suite('/tree/a.test.ts', 'failed')
    const failureMessages = [`\x1b[31mexpected\x1b[39m 1\n${'line\n'.repeat(200)}last`]
    const report = {
      testResults: [{ ...failed, assertionResults: [{ ...failed.assertionResults[0], failureMessages }] }],
    }
    const { text } = summarize([part(report, 1)])
    expect(text).toContain('part: failed: a.test.ts > test 0\n    expected 1\n    line\n')
    expect(text).not.toContain('last')
  })

  test('counts a suite that fails as a whole once', () => {
    const { text } = summarize([part({ testResults: [{ ...suite('/tree/a.test.ts'), status: 'failed' }] }, 1)])
    expect(text).toContain('failed as a whole: a.test.ts')
    expect(lastLine(text)).toBe('0 passed, 1 failed, 0 skipped')
  })
})

describe('missing packages', () => {
  const missing = (files: string[], headers: boolean) =>
    ask(
      'setup/packages.mjs',
      `return m.missingPackages(['build'], { exists: f => ${JSON.stringify(files)}.includes(f), path: ['/usr/bin'], headers: ${headers} }).map(p => p.name)`,
    )

  test('contain the packages whose programs are not on PATH, and headers', () => {
    expect(missing(['/usr/bin/c++', '/usr/bin/make', '/usr/bin/python3'], true)).toEqual([])
    expect(missing(['/usr/bin/make'], false)).toEqual(['g++', 'python3', 'libnode-dev'])
  })

  test('are installed on Debian only', () => {
    const debian = (text: string) => ask('setup/packages.mjs', `return m.distribution(${JSON.stringify(text)}).debian`)
    expect(debian('PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n')).toBe(true)
    expect(debian('ID=ubuntu\nID_LIKE=debian\n')).toBe(false)
  })
})

describe('the command lines of the tools', () => {
  const parse = (...argv: string[]) => ask('vm/vm.mjs', `return m.parseArguments(${JSON.stringify(argv)})`)

  test('end the options of the virtual machine at -- or at the first other word', () => {
    const plain = { udev: false, cheaper: false, keep: false, verbose: false, timeout: 1800 }
    expect(parse('ls', '--udev')).toEqual({ ...plain, command: ['ls', '--udev'] })
    expect(parse('--udev', '--timeout=5', '--', 'ls')).toEqual({ ...plain, udev: true, timeout: 5, command: ['ls'] })
    expect(parse('--keep')).toEqual({ ...plain, keep: true, command: [] })
    expect(parse('--uml', '--cheaper', 'ls')).toEqual({ ...plain, machine: 'uml', cheaper: true, command: ['ls'] })
  })

  test('set the runs or the time, the targets and the --keep option of the fuzzers', () => {
    const parse = (...argv: string[]) => ask('runner/fuzz.mjs', `return m.parseArguments(${JSON.stringify(argv)})`)
    expect(parse()).toEqual({ keep: false, targets: [] })
    expect(parse('--seconds=60')).toEqual({ seconds: 60, keep: false, targets: [] })
    expect(parse('--seconds=60', '--runs=7')).toEqual({ error: expect.stringContaining('usage: ') as string })
    expect(parse('--runs=7', 'reply', '--keep')).toEqual({ runs: 7, keep: true, targets: ['reply'] })
  })

  test('pass a single argument with blanks to the shell', () => {
    expect(ask('vm/vm.mjs', `return m.commandWords(['a | b'])`)).toEqual(['/bin/sh', '-c', 'a | b'])
    expect(ask('vm/vm.mjs', `return m.commandWords(['a'])`)).toEqual(['a'])
  })

  test('pass the environment variables of the project to the guest, and no others', () => {
    const host = { PATH: '/x', HOME: '/home/me', SECRET: 's', DM_THIN_X: '1', CI: 'true', DM_THIN_UDEV: '1' }
    const env = ask('vm/guest-files.mjs', `return m.guestEnvironment(${JSON.stringify(host)}, {}, false)`)
    expect(env).toMatchObject({ DM_THIN_GUEST: '1', DM_THIN_X: '1', CI: 'true', HOME: '/root' })
    expect(env).not.toHaveProperty('SECRET')
    expect(env).not.toHaveProperty('DM_THIN_UDEV')
  })
})
