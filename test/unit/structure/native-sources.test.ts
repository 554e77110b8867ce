// The parts and the flags of both builds are the same: the developers' build tests the sources that ship.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const repository = path.join(__dirname, '../../..')
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8')
const sourcesIn = (part: string) => [...read(part).matchAll(/^#include "(.*)"$/gm)].map(([, file]) => `native/${file}`)
const parts = readdirSync(path.join(repository, 'native/parts')).map(name => `native/parts/${name}`)
const lists = Object.fromEntries(parts.map(part => [path.basename(part, '.cc'), sourcesIn(part)]))
const listed = Object.values(lists).flat()

const folders = readdirSync(path.join(repository, 'native'), { withFileTypes: true })
  .filter(entry => entry.isDirectory() && !['parts', 'test'].includes(entry.name))
  .map(entry => entry.name)

/** Every .cc of a folder, as the list names them. */
const inFolder = (folder: string) =>
  readdirSync(path.join(repository, 'native', folder))
    .filter(name => name.endsWith('.cc'))
    .map(name => `native/${folder}/${name}`)

test('every source file is in the list once', () => {
  const files = folders.flatMap(inFolder)
  expect([...listed].sort()).toEqual(files.sort())
})

test('the sources that include headers of Node are one part', () => {
  expect([...lists.addon!].sort()).toEqual(inFolder('napi').sort())
  const including = listed.filter(file => /#include [<"](napi|node_api|uv|v8)/.test(read(file)))
  for (const file of including) expect(file).toMatch(/^native\/napi\//)
})

test('binding.gyp compiles each part as one source', () => {
  const sources = /"sources": (\[.*\])/.exec(read('binding.gyp'))?.[1]
  expect((JSON.parse(sources!) as string[]).sort()).toEqual(parts.sort())
})

test('CMakeLists.txt compiles the parts, and no source file by itself', () => {
  const compiled = [...read('CMakeLists.txt').matchAll(/native\/(?!test\/)[a-z_]+\/\w+\.cc/g)].map(([file]) => file)
  expect(compiled.sort()).toEqual(parts.sort())
})

test('both builds take their flags from one file', () => {
  const flags = JSON.parse(read('native/flags.gypi')) as Record<string, string[]>
  expect(read('binding.gyp')).toContain('"includes": ["native/flags.gypi"]')
  for (const list of Object.keys(flags)) expect(read('CMakeLists.txt')).toContain(`shipped_flags(${list} `)
  const own = read('binding.gyp')
    .match(/"-[^"]+"/g)
    ?.filter(flag => !/fno-exceptions|fno-rtti|gnu\+\+/.test(flag))
  for (const flag of own ?? []) expect(read('CMakeLists.txt')).toContain(flag.slice(1, -1))
  expect(own).toEqual(['"-fcf-protection"'])
})

test('no statement drops a lock or a descriptor that a call returns', () => {
  const owning = /Result<(?:std::optional<)?(?:UniqueFd|ThinLock|ThinLockFile|Control)>?> (\w+)\(/g
  const sources = folders.flatMap(folder =>
    readdirSync(path.join(repository, 'native', folder)).map(name => `native/${folder}/${name}`),
  )
  const names = new Set(sources.flatMap(file => [...read(file).matchAll(owning)].map(([, name]) => name!)))
  expect(names).toContain('lock_thin')
  const dropping = new RegExp(`^\\s*TRY\\((?:${[...names].join('|')})\\(.*$`, 'gm')
  expect(sources.flatMap(file => read(file).match(dropping) ?? [])).toEqual([])
})
