import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { consumer, repository, tarball } from './package'

const installed = path.join(consumer(), 'node_modules/dm-thin')
const files = (readdirSync(installed, { recursive: true }) as string[])
  .filter(name => statSync(path.join(installed, name)).isFile())
  .sort()
const withExtension = (extension: string) => files.filter(name => name.startsWith('dist/') && name.endsWith(extension))

test('the package contains the files that it needs, and README and LICENSE', () => {
  const wanted = ['package.json', 'README.md', 'LICENSE', 'binding.gyp', 'native/parts/core.cc']
  const binaries = ['x64', 'arm64'].map(arch => `prebuilds/linux-${arch}/dm-thin.glibc.node`)
  const dist = ['entry/index.js', 'entry/index.mjs', 'entry/index.d.ts', 'entry/index.d.mts', 'cli/main.js'].map(
    name => `dist/${name}`,
  )
  const services = ['lib/snapshotter/snapshots.proto', 'lib/snapshot-metadata/csi.proto']
  expect(files).toEqual(expect.arrayContaining([...wanted, ...binaries, ...dist, ...services]))
})

test('the package contains every source of the binary', () => {
  const parts = files.filter(name => name.startsWith('native/parts/'))
  const text = parts.map(name => readFileSync(path.join(installed, name), 'utf8')).join('\n')
  const sources = [...text.matchAll(/^#include "(.*)"$/gm)].map(([, file]) => `native/${file}`)
  expect(sources.length).toBeGreaterThan(30)
  expect(files).toEqual(expect.arrayContaining(sources))
})

test('the package contains no other files', () => {
  const expected =
    /^((package\.json|README\.md|LICENSE|CHANGELOG\.md|SECURITY\.md|binding\.gyp|native\/flags\.gypi)|dist\/.*\.(js|mjs|d\.ts|d\.mts|map)|native\/(?!test\/)\w+\/\w+\.(cc|h)|lib\/snapshotter\/snapshots\.proto|lib\/snapshot-metadata\/csi\.proto|prebuilds\/linux-\w+\/dm-thin\.glibc\.node)$/
  expect(files.filter(name => !expected.test(name))).toEqual([])
})

test('the package contains the types of each entry', () => {
  const entries = [...withExtension('.js'), ...withExtension('.mjs')].filter(name => name.startsWith('dist/entry/'))
  expect(entries.length).toBe(18)
  const types = entries.map(name => name.replace(/\.(m?)js$/, '.d.$1ts'))
  expect(files).toEqual(expect.arrayContaining(types))
})

test('the package contains the source map of each module', () => {
  const modules = withExtension('.js')
  expect(modules.length).toBeGreaterThan(10)
  expect(files).toEqual(expect.arrayContaining(modules.map(name => `${name}.map`)))
})

test('no file contains the path of a folder of the machine that built the package', () => {
  const folders = [repository, homedir(), tmpdir()].filter(folder => folder !== '/').map(folder => `${folder}/`)
  const naming = files.filter(name => {
    const content = readFileSync(path.join(installed, name), 'latin1')
    return folders.some(folder => content.includes(folder))
  })
  expect(naming).toEqual([])
})

test('the tarball contains no link, no absolute path and no file that only its owner can read', () => {
  const lines = execFileSync('tar', ['-tvzf', tarball()], { encoding: 'utf8' }).trim().split('\n')
  expect(lines.length).toBe(files.length)
  expect(lines.filter(line => !/^-rw[x-]r-[x-]r-[x-] .* package\/[^ ]+$/.test(line))).toEqual([])
})
