// The queue of test files and the choice of machine: plain ES modules, each question asked in a fresh node.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { compileFunction } from 'node:vm'
import { ask } from '../../helpers/process/ask.js'

describe('the tags of a test file', () => {
  const none = { udev: ['without'], secondKernel: false, full: false, twoProcessors: false }
  const tags = (text: string) => ask('runner/queue.mjs', `return m.tagsIn(${JSON.stringify(text)})`)

  test('default to one run without udev', () => {
    expect(tags('// About.\nimport x\n')).toEqual(none)
  })

  test('are read from the first comment only', () => {
    expect(tags('// About.\n// @udev both @second-kernel\nimport x\n')).toEqual({
      ...none,
      udev: ['without', 'with'],
      secondKernel: true,
    })
    expect(tags('// About.\n// @full\n// @two-processors\n')).toEqual({ ...none, full: true, twoProcessors: true })
    expect(tags('import x\n// @udev with\n')).toEqual(none)
  })

  test('are rejected if @udev has an unknown value', () => {
    expect(tags('// @udev sometimes\n')).toEqual({ error: '@udev is with, without or both, not sometimes' })
  })
})

test('a pattern is matched with the path within the repository, and not with the path of the repository', () => {
  const files = (pattern: string) =>
    ask('runner/queue.mjs', `return m.testFiles(['races'], [${JSON.stringify(pattern)}]).map(({ file }) => file)`)
  expect(files('races/lo{2}ps')).toEqual(['test/races/loops.test.ts'])
  expect(files(path.basename(path.join(__dirname, '../../..')) + '/test')).toEqual([])
})

test('a file for npm run test:full is run by it, or if a pattern selects it', () => {
  const full = (filters: string, which = '{}') =>
    ask('runner/queue.mjs', `return m.testFiles(['package'], ${filters}, ${which}).filter(each => each.full).length`)
  expect(full('[]')).toBe(0)
  expect(full('[]', '{ full: true }')).toBeGreaterThan(1)
  expect(full("['package/compiler']")).toBe(1)
})

test('the value of -t selects no file, and is an option of jest', () => {
  const words = JSON.stringify(['races/loops', '-t', 'contents', '--bail'])
  expect(ask('runner/queue.mjs', `return m.testFiles(['races', 'package'], ${words}).map(({ file }) => file)`)).toEqual(
    ['test/races/loops.test.ts'],
  )
  expect(ask('runner/queue.mjs', `return m.optionsIn(${words})`)).toEqual(['-t', 'contents', '--bail'])
})

test('a runner that has grown large leaves the rest of its queue to the next runner', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'dm-thin-queue-'))
  try {
    const files = Array(2).fill({ project: 'unit', file: 'test/unit/base/units.test.ts' })
    writeFileSync(path.join(folder, 'files.json'), JSON.stringify({ files, large: 0 }))
    const runner = path.join(__dirname, '../../tools/runner/guest-runner.mjs')
    const run = () => execFileSync(process.execPath, [runner, folder], { stdio: 'pipe' })
    run()
    expect(readdirSync(folder).sort()).toEqual(['files.json', 'result-0.json', 'taken-0'])
    run()
    expect(readdirSync(folder).sort()).toEqual(['files.json', 'result-0.json', 'result-1.json', 'taken-0', 'taken-1'])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

describe('a queue of test files', () => {
  const LABEL = 'unit test of the queue'

  test('returns each file once, and reports outcomes, lost files and files that were not taken', () => {
    const body = `
      const { mkdirSync, writeFileSync } = await import('node:fs')
      const files = ['a', 'b', 'c'].map(() => ({ project: 'unit', file: 'test/unit/base/units.test.ts' }))
      files[1] = { project: 'unit', file: 'test/unit/base/options.test.ts' }
      files[2] = { project: 'unit', file: 'test/unit/base/errors.test.ts' }
      const queue = m.makeQueue(${JSON.stringify(LABEL)}, files, {})
      const at = file => queue.files.findIndex(each => each.file.endsWith(file))
      for (const file of ['units.test.ts', 'options.test.ts']) mkdirSync(queue.folder + '/taken-' + at(file))
      let second = 'taken twice'
      try { mkdirSync(queue.folder + '/taken-' + at('units.test.ts')) } catch (error) { second = error.code }
      const left = m.filesLeft(queue)
      writeFileSync(queue.folder + '/result-' + at('units.test.ts') + '.json', JSON.stringify({ result: [1], seconds: 2 }))
      return { second, left, ...m.closeQueue(queue) }`
    expect(ask('runner/queue.mjs', body)).toEqual({
      second: 'EEXIST',
      left: 1,
      results: [1],
      lost: ['test/unit/base/options.test.ts'],
      untaken: ['test/unit/base/errors.test.ts'],
    })
  })

  test('begins with the files that took longest in the last run', () => {
    const body = `
      const { mkdirSync, writeFileSync } = await import('node:fs')
      const files = ['units', 'options', 'errors'].map(name => ({ project: 'unit', file: 'test/unit/base/' + name + '.test.ts' }))
      const first = m.makeQueue(${JSON.stringify(LABEL)}, files, {})
      const seconds = { units: 1, options: 3, errors: 2 }
      for (const [index, { file }] of first.files.entries()) {
        const name = file.split('/').at(-1).split('.')[0]
        writeFileSync(first.folder + '/result-' + index + '.json', JSON.stringify({ result: [], seconds: seconds[name] }))
      }
      m.closeQueue(first)
      const again = m.makeQueue(${JSON.stringify(LABEL)}, files, {})
      m.closeQueue(again)
      return again.files.map(({ file }) => file.split('/').at(-1))`
    expect(ask('runner/queue.mjs', body)).toEqual(['options.test.ts', 'errors.test.ts', 'units.test.ts'])
  })
})

describe('the memory of User-Mode Linux', () => {
  const folder = (looks: Record<string, string>) =>
    ask(
      'vm/uml.mjs',
      `const looks = ${JSON.stringify(looks)}; return m.memoryFolder(Object.keys(looks), each => looks[each] || undefined)`,
    )

  test('is in the first folder that can be used', () => {
    expect(folder({ '/dev/shm': 'is mounted noexec', '/tmp': '' })).toBe('/tmp')
  })

  test('is rejected if no folder can be used, with the reason for each folder and what to do', () => {
    expect(folder({ '/dev/shm': 'is mounted noexec', '/tmp': 'has 64 MiB free, and 1024 are needed' })).toEqual({
      error:
        'User-Mode Linux has no place for its memory: /dev/shm is mounted noexec, /tmp has 64 MiB free, and 1024 are ' +
        'needed. Set TMPDIR to a folder with 3 GiB that allows execution, or DM_THIN_VM=qemu.',
    })
  })
})

describe('the processor of a User-Mode Linux guest', () => {
  test('is one of those that this process may use', () => {
    const allowed = (list: string) =>
      ask('vm/processor.mjs', `return m.allowedProcessors('Name:\\tnode\\nCpus_allowed_list:\\t${list}\\nMems:\\t0')`)
    expect(allowed('0-3')).toEqual([0, 1, 2, 3])
    expect(allowed('1,4-5,9')).toEqual([1, 4, 5, 9])
  })

  test('is a different one for each guest, as long as there are enough', () => {
    const claims = `
      const { readFileSync } = await import('node:fs')
      const all = m.allowedProcessors(readFileSync('/proc/self/status', 'utf8'))
      const claimed = []
      for (const _ of all) claimed.push((await m.claimProcessor()).number)
      return { all, claimed: claimed.sort((a, b) => a - b) }`
    const { all, claimed } = ask('vm/processor.mjs', claims) as { all: number[]; claimed: number[] }
    expect(claimed).toEqual(all)
  })
})

describe('a User-Mode Linux that does not start', () => {
  test('is reported with its last lines, and with a note that ptrace may be missing', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'dm-thin-image-'))
    const image = path.join(folder, 'image')
    writeFileSync(image, '#!/bin/sh\necho "check_ptrace : expected SIGSTOP"; exit 1\n', { mode: 0o755 })
    expect(ask('vm/uml.mjs', `return m.whyNoUml({ image: ${JSON.stringify(image)} })`)).toBe(
      'User-Mode Linux does not start here (ptrace is not permitted: a container may need --cap-add SYS_PTRACE):\n' +
        'check_ptrace : expected SIGSTOP',
    )
    rmSync(folder, { recursive: true })
  })
})

describe('the library as one file', () => {
  const transform = (file: string) => {
    const script = `const { process: make } = require(${JSON.stringify(path.join(__dirname, '../../tools/runner/one-file.cjs'))})
      console.log(JSON.stringify(make('', ${JSON.stringify(path.join(__dirname, '../../..', file))}, {})))`
    return JSON.parse(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8', maxBuffer: 2 ** 26 })) as {
      code: string
      map: { sections: { map: { sources: string[] } }[] }
    }
  }

  test('replaces each module by a line, and maps each back to its source', () => {
    expect(transform('lib/base/units.ts').code).toMatch(
      /^module\.exports = require\(".*modules\.cjs"\)\("lib\/base\/units\.ts"\)$/,
    )
    const { code, map } = transform('test/tools/runner/modules.cjs')
    const module = { exports: (_: string): unknown => undefined }
    const run = compileFunction(code, ['module', 'require', '__dirname']) as (...own: unknown[]) => void
    run(module, require, path.join(__dirname, '../../tools/runner'))
    expect(module.exports('lib/base/units.ts')).toMatchObject({ MiB: 2 ** 20 })
    const sources = map.sections.flatMap(section => section.map.sources)
    expect(sources).toContain(path.join(__dirname, '../../../lib/base/units.ts'))
  })
})

describe('the choice of machine', () => {
  test('follows DM_THIN_VM, and rejects an unknown value', () => {
    const chosen = (value: string) =>
      ask('vm/machine.mjs', 'return (await m.chooseMachine(() => {})).name', { DM_THIN_VM: value })
    expect(chosen('uml')).toBe('uml')
    expect(chosen('qemu')).toBe('qemu')
    expect(chosen('xen')).toEqual({ error: 'DM_THIN_VM is xen, and must be uml or qemu' })
  })
})

describe('a group of processes', () => {
  test('ends, and its files are removed, if the process that started it is killed', async () => {
    const scratch = mkdtempSync(path.join(tmpdir(), 'dm-thin-group-'))
    const folder = path.join(scratch, 'folder')
    mkdirSync(folder)
    const body = `
      const { existsSync } = await import('node:fs')
      const { spawn } = await import('node:child_process')
      const source = \`import { spawnGroup } from ${JSON.stringify(path.join(__dirname, '../../tools/vm/children.mjs'))}
        const child = spawnGroup('sh', ['-c', 'sleep 1000 & echo started; wait'],
          { stdio: ['pipe', 'pipe', 'inherit'] }, [${JSON.stringify(folder)}])
        child.stdout.on('data', () => console.log(child.pid))\`
      const harness = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
      const pid = await new Promise(done => harness.stdout.once('data', data => done(Number(data))))
      const { readFileSync, readdirSync } = await import('node:fs')
      const groupOf = entry => {
        try { const stat = readFileSync('/proc/' + entry + '/stat', 'utf8').split(') ')[1].split(' '); return stat[0] === 'Z' ? 0 : Number(stat[2]) }
        catch { return 0 }
      }
      const members = () => readdirSync('/proc').filter(entry => /^[0-9]+$/.test(entry) && groupOf(entry) === pid).length
      const before = members()
      harness.kill('SIGKILL')
      while (members() > 0 || existsSync(${JSON.stringify(folder)})) await new Promise(done => setTimeout(done, 10))
      return before > 1`
    expect(ask('vm/cache.mjs', body)).toBe(true)
    rmSync(scratch, { recursive: true })
  })
})
