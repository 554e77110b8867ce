// Where the binary comes from: the package, a compiler, or nowhere.
// @full
import { existsSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { buildEnvironment } from './node-headers'
import { ask, consumer, copyOfConsumer, pathWithoutCompiler, plainEnvironment, run } from './package'

interface Loaded {
  readonly binary: string | undefined
  readonly code: string | undefined
  readonly message: string
  readonly devices: number | undefined
}

/** Lists loop devices: by the kernel, or a typed error where this machine has none or lets nobody look. */
const LIST = `
  const { LoopDevice } = require('dm-thin')
  LoopDevice.list().then(list => ({ devices: list.length }), ({ code, message }) => ({ code, message })).then(seen => {
    const binary = Object.keys(require.cache).find(name => name.endsWith('.node'))
    console.log(JSON.stringify({ ...seen, binary: binary && require('node:path').relative(__dirname, binary) }))
  })`
const list = (where: string, env?: NodeJS.ProcessEnv) => ask(where, 'list.cjs', LIST, env) as Loaded
const OF_THE_MACHINE = [undefined, 'DM_UNAVAILABLE', 'DM_PERMISSION']
const inPackage = (file: string) => path.join('node_modules/dm-thin', file)

const withoutCompiler = () => plainEnvironment({ PATH: pathWithoutCompiler(), CC: '', CXX: '' })

function withoutBinary(name: string): string {
  const where = copyOfConsumer(name)
  rmSync(path.join(where, inPackage('prebuilds')), { recursive: true })
  return where
}

test('the installation uses the binary of the package and builds nothing', () => {
  expect(existsSync(path.join(consumer(), inPackage('build')))).toBe(false)
  const { binary, code } = list(consumer())
  expect(binary).toBe(inPackage(`prebuilds/linux-${process.arch}/dm-thin.glibc.node`))
  expect(OF_THE_MACHINE).toContain(code)
})

test('the package installs and works without compiler, make and python3', () => {
  const env = withoutCompiler()
  for (const program of ['gcc', 'g++', 'cc', 'make', 'python3']) {
    expect(run('sh', ['-c', `command -v ${program}`], consumer(), env).status).not.toBe(0)
  }
  const where = copyOfConsumer('no-compiler')
  expect(run('npm', ['rebuild', 'dm-thin'], where, env)).toMatchObject({ status: 0 })
  const { binary, code } = list(where, env)
  expect(binary).toBe(inPackage(`prebuilds/linux-${process.arch}/dm-thin.glibc.node`))
  expect(OF_THE_MACHINE).toContain(code)
})

test('the addon is built from the sources in the package if no binary fits', () => {
  const where = withoutBinary('from-source')
  // Optimized for the time that building takes.
  const env = plainEnvironment({ ...buildEnvironment(), CXXFLAGS: '-O0', JOBS: String(availableParallelism()) })
  const { status, output } = run('npm', ['rebuild', 'dm-thin', '--foreground-scripts'], where, env)
  expect({ status, output }).toMatchObject({ status: 0 })
  const { binary, code } = list(where)
  expect(binary).toBe(inPackage('build/Release/dm_thin.node'))
  expect(OF_THE_MACHINE).toContain(code)
}, 600_000)

test('the error without a binary and a compiler states what to do', () => {
  const where = withoutBinary('nothing')
  const env = withoutCompiler()
  expect(run('npm', ['rebuild', 'dm-thin'], where, env).status).not.toBe(0)
  const { code, message, binary } = list(where, env)
  expect(binary).toBeUndefined()
  expect(code).toBe('DM_UNAVAILABLE')
  expect(message).toContain(`linux-${process.arch}`)
  expect(message).toContain('npm rebuild dm-thin')
  expect(message).toMatch(/compiler, make and python3/)
})
