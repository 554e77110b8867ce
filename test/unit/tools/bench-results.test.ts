import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

// The benchmark is plain ES modules: each question is asked in a fresh node, with `m` as the module's name space.
function ask(module: string, expression: string): unknown {
  const url = join(__dirname, '../../bench', module)
  const script = `import * as m from ${JSON.stringify(url)}; console.log(JSON.stringify(${expression}))`
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }))
}

const result = (name: string, unit: string, ours: number | null, peers: Record<string, number>, where?: string) =>
  JSON.stringify({ name, unit, ours, peers, where })
const targets = (text: string) => ask('report.mjs', `m.targetTexts(${text})`) as string[]

describe('the targets of the benchmark', () => {
  test('are marked as reached or as not reached', () => {
    expect(targets(result('message', 'ms', 2, { c: 1, dmsetup: 30 }))).toEqual([
      '≤ 1.3 × c: not reached',
      '≥ 10 × faster than dmsetup: reached',
    ])
  })

  test('have a factor for each peer, sequential and concurrent', () => {
    const peers = { c: 20, 'c-64': 1, libdevmapper: 21 }
    expect(targets(result('activate', 'ms', 24, peers)).slice(0, 2)).toEqual([
      '≤ 1.15 × c: not reached',
      '≤ 1.15 × libdevmapper: reached',
    ])
    expect(targets(result('activate-64', 'ms', 1.5, peers)).at(-1)).toBe('≥ 8 × faster than libdevmapper: reached')
  })

  test('are not evaluated if a figure or a peer is missing', () => {
    const unknown = ['≤ 1.3 × c: not measured', '≥ 10 × faster than dmsetup: not measured']
    expect(targets(result('message', 'ms', null, { c: 1, dmsetup: 30 }))).toEqual(unknown)
    expect(targets(result('message', 'ms', 1, {}))).toEqual(unknown)
  })

  test('are not evaluated for the host with figures of the guest', () => {
    expect(targets(result('noop-async', 'µs', 5, {}))).toEqual(['< 25 µs on the host: not measured'])
    expect(targets(result('noop-async', 'µs', 5, {}, 'host'))).toEqual(['< 25 µs on the host: reached'])
  })

  test('are reached for the event loop if either limit is reached', () => {
    expect(targets(result('event-loop', 'ms', 4, { idle: 1 }))).toEqual(['≤ 2 × idle or < 5 ms: reached'])
    expect(targets(result('event-loop', 'ms', 9, { idle: 1 }))).toEqual(['≤ 2 × idle or < 5 ms: not reached'])
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

describe('the page of results', () => {
  const machine = { accelerator: 'kvm', kernel: '6', node: 'v20', cores: 2, cpu: 'x', memory: '1 GiB', udev: false }
  const page = (results: string) =>
    ask(
      'page.mjs',
      `m.pageText({ machine: ${JSON.stringify(machine)}, rounds: 1, backing: 'b', results: ${results} }, [])`,
    )

  test('names the accelerator, and marks every metric without a figure as not measured', () => {
    const text = page(`[${result('message', 'ms', 2, { c: 1 })}]`) as string
    expect(text).toContain('accelerator: **kvm**')
    expect(text).toContain('**2.00 ms** | c 1.00 (0.50 ×)')
    const others = (ask('trials.mjs', 'm.metricNames') as string[]).length - 1
    expect(text.match(/\| not measured \|/g)).toHaveLength(others)
    expect(text).not.toContain('emulation')
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
    const svg = ask('chart.mjs', `m.barChart({ title: 't', unit: 'ms', scale: 'log', groups: ${groups} })`) as string
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
