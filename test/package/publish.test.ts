import { readFileSync } from 'node:fs'
import path from 'node:path'
import { repository, run, tarball } from './package'

const tool = (name: string, ...args: string[]) =>
  run(process.execPath, [path.join(repository, 'node_modules', name), ...args, tarball()], repository)

test('publint reports no problem of the tarball', () => {
  const { status, output } = tool('publint/src/cli.js', 'run', '--strict')
  expect(output).toContain('All good!')
  expect(status).toBe(0)
})

test('the types resolve in every resolution mode of TypeScript', () => {
  const { stdout } = tool('@arethetypeswrong/cli/dist/index.js', '--format', 'json')
  const { analysis, problems } = JSON.parse(stdout) as {
    analysis: { entrypoints: Record<string, { resolutions: Record<string, unknown> }> }
    problems?: Record<string, unknown>
  }
  expect(problems ?? {}).toEqual({})
  expect(Object.keys(analysis.entrypoints['.']!.resolutions).sort()).toEqual([
    'bundler',
    'node10',
    'node16-cjs',
    'node16-esm',
  ])
})

test('package.json has the dependencies, platforms and Node versions that the docs state', () => {
  const text = readFileSync(path.join(repository, 'package.json'), 'utf8')
  const { dependencies, os, engines, scripts } = JSON.parse(text) as Record<string, Record<string, string>>
  expect(Object.keys(dependencies!).sort()).toEqual(['commander', 'node-addon-api', 'node-gyp-build'])
  expect(os).toEqual(['linux'])
  expect(engines).toEqual({ node: '>=20.4' })
  expect(scripts!['install']).toBe('node-gyp-build')
})
