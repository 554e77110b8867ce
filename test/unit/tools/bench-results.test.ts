import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'

// The benchmark is plain ES modules: each question is asked in a fresh node, with `m` as the module's name space.
function ask(module: string, expression: string): unknown {
  const url = join(__dirname, '../../bench', module)
  const script = `import * as m from ${JSON.stringify(url)}; console.log(JSON.stringify(${expression}))`
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }))
}

const result = (name: string, unit: string, ours: number | null, peers: Record<string, number>, where?: string) =>
  JSON.stringify({ name, unit, ours, peers, where })
const targets = (text: string, kind = 'kvm') =>
  ask('report.mjs', `m.targetTexts(${text}, ${JSON.stringify(kind)})`) as string[]

describe('the targets of the benchmark', () => {
  test('are marked as reached or as not reached', () => {
    expect(targets(result('prepare-10k', 'ms', 2, { few: 1 }))).toEqual(['≤ 1.25 × few: not reached'])
    expect(targets(result('message', 'ms', 2, { dmsetup: 30 }))).toEqual(['≥ 10 × faster than dmsetup: reached'])
  })

  test('are those of the kind of machine', () => {
    const message = result('message', 'ms', 16, { 'c-async': 10, dmsetup: 300 })
    expect(targets(message, 'uml')).toEqual(['≤ 1.5 × c-async: not reached', '≥ 10 × faster than dmsetup: reached'])
    expect(targets(message, 'tcg')).toEqual(['≤ 1.8 × c-async: reached', '≥ 10 × faster than dmsetup: reached'])
  })

  test('are not evaluated if a figure or a peer is missing', () => {
    const unknown = ['≤ 1.5 × c: not measured']
    expect(targets(result('list-10k', 'ms', null, { c: 1 }))).toEqual(unknown)
    expect(targets(result('list-10k', 'ms', 1, {}))).toEqual(unknown)
  })

  test('are not evaluated for the host with figures of the guest', () => {
    expect(targets(result('noop-async', 'µs', 5, {}))).toEqual(['< 25 µs on the host: not measured'])
    expect(targets(result('noop-async', 'µs', 5, {}, 'host'))).toEqual(['< 25 µs on the host: reached'])
  })

  test('can be a time longer than that of a peer', () => {
    const index = (ours: number) => targets(result('start-index', 'ms', ours, { node: 40 }))
    expect(index(75)).toEqual(['≤ 35 ms longer than node: reached'])
    expect(index(76)).toEqual(['≤ 35 ms longer than node: not reached'])
  })

  test('have the lead over each peer that was measured', () => {
    expect(targets(result('fork-gone', 'ms', 2, { xfs: 1, btrfs: 3 }))).toEqual(['ahead of xfs, btrfs: not reached'])
    expect(targets(result('fork-gone', 'ms', 2, { btrfs: 3 }))).toEqual(['ahead of btrfs: reached'])
  })
})

describe('the collected results', () => {
  const folded = (steps: string, metrics: string) =>
    ask('collect.mjs', `(() => { const c = new m.Collection(); ${steps}; return c.results(${metrics}) })()`)

  test('are medians over the rounds of the medians of the trials, each without its first third', () => {
    const entry = "{ metrics: ['message'] }"
    const rounds = ['[7e6, 1e6, 3e6]', '[4e6]', '[3e6]'].map(list => `c.add(${entry}, 'ours', { message: ${list} })`)
    expect(folded(rounds.join(';'), "['message']")).toMatchObject([
      { name: 'message', unit: 'ms', ours: 3, peers: {}, samples: { ours: [2, 4, 3] } },
    ])
  })

  test('have as peers the labels of the program, renamed labels and sums of parts', () => {
    const wide = "c.add({ metrics: ['status-batch'] }, 'dmsetup', { 'status-batch@dmsetup-all': [2e6] })"
    const threads =
      "c.add({ metrics: ['noop-async-64'], relabel: { 'noop-async-64': { c: 'c-64' } } }, 'c', { 'noop-async-64': [500] })"
    const memory = `c.add({ metrics: ['resident-memory'], combine: { 'resident-memory': ['message', 'activate'] },
      headline: 'ours-2GiB' }, 'ours-2GiB', { message: [1e6], activate: [2e6], remove: [5e6] })`
    const names = "['status-batch', 'noop-async-64', 'resident-memory']"
    expect(folded([wide, threads, memory].join(';'), names)).toMatchObject([
      { ours: null, peers: { 'dmsetup-all': 2 } },
      { ours: null, peers: { 'c-64': 0.5 } },
      { ours: 3, peers: { 'ours-2GiB': 3 } },
    ])
  })

  test('contain the error of a failed trial', () => {
    const step = "c.fail({ metrics: ['message'] }, new Error('no pool'))"
    expect(folded(step, "['message']")).toMatchObject([{ ours: null, errors: ['no pool'] }])
  })
})

const run = (accelerator: string, rounds = 5) => ({
  machine: {
    accelerator,
    kernel: '6',
    node: 'v20',
    cores: 2,
    cpu: 'x',
    memory: '1 GiB',
    udev: false,
    date: '2026-11-26',
  },
  rounds,
  backing: 'b',
})
const figure = (name: string, ours: number, at = 0, peers: Record<string, number> = {}) => ({
  name,
  unit: 'ms',
  ours,
  peers,
  run: at,
})

describe('the published results', () => {
  const merged = (published: object, report: object) =>
    ask('results.mjs', `m.merge(${JSON.stringify(published)}, ${JSON.stringify(report)})`) as {
      runs: { machine: { accelerator: string } }[]
      results: { name: string; ours: number; run: number }[]
    }
  const report = { ...run('uml', 9), results: [{ name: 'activate', unit: 'ms', ours: 7, peers: {} }] }

  test('get the rows of a run, and keep the others with their own run', () => {
    const before = { runs: [run('uml')], results: [figure('message', 1), figure('activate', 2)] }
    const { runs, results } = merged(before, report)
    expect(runs).toEqual([run('uml'), run('uml', 9)])
    expect(results.map(({ name, ours, run: at }) => [name, ours, at])).toEqual([
      ['message', 1, 0],
      ['activate', 7, 1],
    ])
  })

  test('keep the same row of another kind of machine, and drop a run without rows', () => {
    const before = { runs: [run('uml'), run('tcg')], results: [figure('activate', 2), figure('activate', 20, 1)] }
    const { runs, results } = merged(before, report)
    expect(runs).toEqual([run('tcg'), run('uml', 9)])
    expect(results.map(({ ours, run: at }) => [ours, at])).toEqual([
      [20, 0],
      [7, 1],
    ])
  })

  test('drop rows that the benchmark no longer has', () => {
    expect(merged({ runs: [run('tcg')], results: [figure('gone', 1)] }, report).results).toHaveLength(1)
  })
})

describe('the rows that are wanted', () => {
  const wanted = (only: string) => ask('trials.mjs', `m.wantedMetrics(${JSON.stringify(only)})`)

  test('are named, or begin with a word that ends in a hyphen', () => {
    expect(wanted('remove,activate')).toEqual(['activate', 'remove'])
    expect(wanted('fork-growth-')).toEqual(['fork-growth-1', 'fork-growth-64', 'fork-growth-1000'])
  })

  test('are rejected if there is none of a name', () => {
    expect(() => wanted('fork')).toThrow(/unknown row fork;/)
  })

  test.each([
    [['--onyl', 'message'], /Unknown option '--onyl'/],
    [['--only', 'messages'], /unknown row messages;/],
    [['--peers', 'ours,lvm'], /unknown peer lvm;/],
    [['--vm', 'kvm'], /--vm is kvm, and must be of uml, qemu/],
    [['--rounds', 'many'], /--rounds is many, and must be a number/],
  ])('a wrong option is rejected before the command prepares anything: %j', (args, message) => {
    const { status, stderr } = spawnSync(process.execPath, ['test/tools/run.mjs', 'bench', ...args], {
      cwd: join(__dirname, '../../..'),
      encoding: 'utf8',
    })
    expect([status, stderr.trim().split('\n')]).toEqual([1, [expect.stringMatching(message)]])
  })
})

describe('the comparison of two runs', () => {
  const compared = (first: object, second: object) =>
    ask('compare.mjs', `m.compareReports(${JSON.stringify(first)}, ${JSON.stringify(second)})`)
  const single = (...results: object[]) => ({ ...run('uml'), results })

  test('has the change of each row, and the multiples of its peers', () => {
    const before = single(figure('message', 2, 0, { c: 1, dmsetup: 8 }))
    const after = single(figure('message', 3, 0, { c: 1.5 }))
    expect(compared(before, after)).toEqual({
      rows: [
        {
          name: 'message, uml',
          before: 2,
          after: 3,
          unit: 'ms',
          change: 1.5,
          verdict: 'slower',
          peers: ['2.00 → 2.00 × c'],
        },
      ],
      onlyBefore: [],
      onlyAfter: [],
    })
  })

  test('calls a small change none, and names the rows that only one run has', () => {
    const before = single(figure('message', 2), figure('remove', 1))
    const after = { runs: [run('tcg'), run('uml')], results: [figure('message', 2.1, 1), figure('message', 9, 0)] }
    expect(compared(before, after)).toMatchObject({
      rows: [{ name: 'message, uml', verdict: 'as before' }],
      onlyBefore: ['remove, uml'],
      onlyAfter: ['message, tcg'],
    })
  })
})

describe('the pages of results', () => {
  const calls = '## activate\n\n| call | times | for |\n| --- | --- | --- |\n| close | 2 | x |\n| waits | 7 | |\n'
  const page = (all: object) =>
    ask('page.mjs', `m.allRowsText(${JSON.stringify(all)}, ${JSON.stringify(calls)})`) as string
  const line = (text: string, name: string) => text.split('\n').find(each => each.startsWith(`| \`${name}\``))!

  test('has a column for each kind of machine, and names what was not measured', () => {
    const text = page({
      runs: [run('tcg'), run('uml', 2)],
      results: [figure('message', 2, 0, { c: 1 }), figure('activate', 1, 1)],
    })
    expect(text).toContain('| metric | User-Mode Linux | QEMU, emulated | target | system calls |')
    expect(line(text, 'message')).toContain('| not measured | **2.00 ms**<br>c 1.00 (0.50 ×) |')
    expect(line(text, 'activate')).toContain('| **1.00 ms**<br>(2 rounds) | not measured |')
    expect(line(text, 'remove')).toContain('| not measured | not measured |')
    expect(text).toContain('Under emulation')
  })

  test('says of a target on which machine it is reached, if not on all', () => {
    const both = { runs: [run('tcg'), run('uml')] }
    const lists = [figure('list-10k', 2, 0, { c: 1 }), figure('list-10k', 1, 1, { c: 1 })]
    expect(line(page({ ...both, results: lists }), 'list-10k')).toContain(
      '≤ 1.5 × c: reached (User-Mode Linux), not reached (QEMU, emulated)',
    )
    // c-async was measured in QEMU alone, and each kind of machine has a target of its own.
    const messages = [figure('message', 2, 0, { 'c-async': 1 }), figure('message', 1, 1)]
    const text = line(page({ ...both, results: messages }), 'message')
    expect(text).toContain('≤ 1.5 × c-async in User-Mode Linux: not measured')
    expect(text).toContain('≤ 1.8 × c-async in QEMU, emulated: not reached')
    expect(text).toContain('≥ 10 × faster than dmsetup: not measured')
  })

  test('names the floor of a row that misses its target, and only then', () => {
    const forks = (ours: number) =>
      line(page({ runs: [run('uml')], results: [figure('fork-1000', ours, 0, { xfs: 9, 'c-64': 2 })] }), 'fork-1000')
    expect(forks(4)).toContain('ahead of xfs: reached<br>≤ 1.25 × c-64: not reached<br>floor: `c-64`')
    expect(forks(2)).not.toContain('floor')
  })

  test('has the system calls of the operation that a row measures', () => {
    const text = page({ runs: [run('uml')], results: [] })
    expect(line(text, 'activate')).toContain('| [2 + 7 waits](system-calls.md#activate) |')
  })

  test('begin with ten rows beside their floor and what people use', () => {
    const all = { runs: [run('uml')], results: [figure('message', 2, 0, { 'c-locks': 1, dmsetup: 40 })] }
    const text = ask('page.mjs', `m.pageText(${JSON.stringify(all)}, [])`) as string
    expect(text).toContain('| **2.00 ms** | `c-locks` 1.00 ms | 2.00 × | dmsetup 40.0 ms | 20.0 × |')
    expect(text).toContain('from 2.00 to 2.00 times as long as a C program')
    expect(text).toContain('Measured in User-Mode Linux (Linux 6, Node v20, 2 processors, 1 GiB, 2026-11-26).')
  })

  test('have the starts in a sentence, and in a table without the machines that did not measure them', () => {
    const starts = [
      { ...figure('start-index', 60, 1, { node: 40, 'better-sqlite3': 50 }) },
      { ...figure('start-store', 70, 1, { node: 40 }) },
      { ...figure('start-help', 50, 1, { node: 40 }) },
      { ...figure('start-files', 6, 1, { 'better-sqlite3': 12 }), unit: 'files' },
    ]
    const machine = { ...run('none').machine, load: 1.25 }
    const all = { runs: [run('uml'), { ...run('none'), machine }], results: [figure('message', 2), ...starts] }
    const text = (ask('page.mjs', `m.pageText(${JSON.stringify(all)}, [])`) as string).replaceAll('\n', ' ')
    expect(text).toContain(
      '20.0 ms longer with `dm-thin` and 30.0 ms longer with `dm-thin/store` than bare Node (40.0 ms)',
    )
    expect(text).toContain('It takes 10.0 ms longer with `better-sqlite3`. `dm-thin --help` takes 1.25 × bare Node.')
    const rows = page(all)
    expect(rows).toContain('| metric | machine | target | system calls |')
    expect(line(rows, 'start-files')).toContain('| **6 files**<br>better-sqlite3 12 (2.00 ×) |')
    expect(line(rows, 'message')).toContain('| **2.00 ms** | ≤')
    expect(rows).toContain('1 GiB, load 1.3, 2026-11-26')
  })

  test('have four figures of forks in the page for those who choose', () => {
    const all = { runs: [run('uml')], results: [figure('fork-1000', 2, 0, { xfs: 13 })] }
    const rows = ask('page.mjs', `m.forkFigures(${JSON.stringify(all)})`) as string[]
    expect(rows).toHaveLength(6)
    expect(rows[2]).toBe('| 1 000 forks of a live disk, for each | 2.00 ms | 13.0 ms | – |')
    const text = JSON.stringify('a\n<!-- forks -->\nold\n<!-- /forks -->\nb\n')
    expect(ask('page.mjs', `m.withTable(${text}, 'new')`)).toBe('a\n<!-- forks -->\n\nnew\n\n<!-- /forks -->\nb\n')
  })

  test('has pictures with escaped texts and a background', () => {
    const groups = JSON.stringify([
      {
        label: 'a<b',
        bars: [
          { series: 'ours', value: 0.5 },
          { series: 'c', value: 200 },
        ],
      },
    ])
    const svg = ask('chart.mjs', `m.barChart({ title: 't', unit: 'ms', groups: ${groups} })`) as string
    expect(svg).toContain('a&#60;b')
    expect(svg).toContain('fill="#ffffff"')
    expect(svg).toContain('>0.500 ms<')
  })
})

test('the accelerator is the one that the guest was started with, otherwise that of the processor', () => {
  const of = (env: object, cpuinfo: string) =>
    ask('machine.mjs', `m.accelerator(${JSON.stringify(env)}, ${JSON.stringify(cpuinfo)})`)
  expect(of({ DM_THIN_ACCELERATOR: 'kvm' }, 'model name : QEMU TCG')).toBe('kvm')
  expect(of({}, 'model name : QEMU TCG CPU version 2.5+')).toBe('tcg')
  expect(of({}, 'flags\t\t: fpu sse2')).toBe('none')
})
