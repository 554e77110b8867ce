// What a start of Node loads of the package. It is counted, because the time differs from machine to machine.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { consumer, entryNames, plainEnvironment, run } from './package'

const MOST_FILES = 12
const PROBE = `
  const { readFileSync, writeFileSync } = require('node:fs')
  const path = require('node:path')
  process.on('exit', () => {
    const folder = path.join(__dirname, 'node_modules')
    const files = Object.keys(require.cache).filter(file => file.startsWith(folder)).map(file => path.relative(folder, file))
    const addon = readFileSync('/proc/self/maps', 'utf8').includes('dm-thin.glibc.node')
    writeFileSync(path.join(__dirname, 'loaded.json'), JSON.stringify({ files, addon }))
  })`

interface Loaded {
  /** The files of packages, by their paths in node_modules. */
  readonly files: string[]
  /** True if the addon is mapped into the process. */
  readonly addon: boolean
}

/** Runs Node, and returns what it has loaded when it ends. */
function loadedBy(...args: string[]): Loaded {
  writeFileSync(path.join(consumer(), 'probe.cjs'), PROBE)
  const { status, output } = run(process.execPath, ['--require', './probe.cjs', ...args], consumer())
  expect({ status, output }).toMatchObject({ status: 0 })
  return JSON.parse(readFileSync(path.join(consumer(), 'loaded.json'), 'utf8')) as Loaded
}

test.each(entryNames())(`%s loads at most ${MOST_FILES} files, and not the addon`, name => {
  const { files, addon } = loadedBy('--eval', `require('${name}')`)
  expect(files).toContain('dm-thin/dist/shared/base.js')
  expect(files.length).toBeLessThanOrEqual(MOST_FILES)
  expect(addon).toBe(false)
})

test('the probe detects the addon', () => {
  const { addon } = loadedBy('--eval', `require('dm-thin').LoopDevice.list().catch(() => {})`)
  expect(addon).toBe(true)
})

test.each([['--help'], ['--version'], ['layer', '--help']])(
  'dm-thin %s %s loads no store, no pool and no addon',
  (...args) => {
    const { files, addon } = loadedBy('node_modules/dm-thin/dist/cli/main.js', ...args.filter(Boolean))
    expect(files).toContain('commander/index.js')
    const own = files.filter(file => file.startsWith('dm-thin/'))
    expect(own.filter(file => /dist\/(entry|shared\/(pool|transfer|store)\.js)/.test(file))).toEqual([])
    expect(own.length).toBeLessThanOrEqual(MOST_FILES)
    expect(addon).toBe(false)
  },
)

test('a stack trace names the files and lines of the sources with --enable-source-maps', () => {
  const { output } = run(
    process.execPath,
    [
      '--enable-source-maps',
      '--eval',
      `require('dm-thin').LoopDevice.attach({ file: 1 }).catch(fault => console.log(fault.stack))`,
    ],
    consumer(),
    plainEnvironment(),
  )
  const [, line] = /node_modules\/dm-thin\/lib\/block\/loop-device\.ts:(\d+):\d+/.exec(output) ?? []
  expect(output).toContain('file must be a path')
  expect(Number(line)).toBeGreaterThan(10)
})
