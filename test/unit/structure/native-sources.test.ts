// One list of sources for both builds: what ships is what the developers' build checks.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const repository = path.join(__dirname, '../../..')
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8')
const sourcesIn = (part: string) => [...read(part).matchAll(/^#include "(.*)"$/gm)].map(([, file]) => `native/${file}`)
const parts = readdirSync(path.join(repository, 'native/parts')).map(name => `native/parts/${name}`)
const lists = Object.fromEntries(parts.map(part => [path.basename(part, '.cc'), sourcesIn(part)]))
const listed = Object.values(lists).flat()

const folders = readdirSync(path.join(repository, 'native')).filter(name => !['parts', 'test'].includes(name))

/** Every .cc of a folder, as the list names them. */
const inFolder = (folder: string) =>
  readdirSync(path.join(repository, 'native', folder))
    .filter(name => name.endsWith('.cc'))
    .map(name => `native/${folder}/${name}`)

test('every source file is in the list once', () => {
  const files = folders.flatMap(inFolder)
  expect([...listed].sort()).toEqual(files.sort())
})

test('only native/napi includes headers of Node', () => {
  expect([...lists.addon!].sort()).toEqual(inFolder('napi').sort())
  const including = listed.filter(file => /#include [<"](napi|node_api|uv|v8)/.test(read(file)))
  for (const file of including) expect(file).toMatch(/^native\/napi\//)
})

test('binding.gyp compiles each part as one source', () => {
  const sources = /"sources": (\[.*\])/.exec(read('binding.gyp'))?.[1]
  expect((JSON.parse(sources!) as string[]).sort()).toEqual(parts.sort())
})

test('CMakeLists.txt compiles the parts, and no source file by itself', () => {
  const text = read('CMakeLists.txt')
  for (const part of Object.keys(lists)) expect(text).toMatch(new RegExp(`sources_of\\(${part} `))
  expect(text.replaceAll(/#.*/g, '')).not.toMatch(/native\/(?!test\/)[a-z_]+\/\w+\.cc/)
})

test('both builds have the same definitions for the addon', () => {
  const defines = /"defines": \[([^\]]*)\]/.exec(read('binding.gyp'))?.[1]?.match(/"[^"]+"/g) ?? []
  expect(defines.length).toBeGreaterThan(0)
  for (const define of defines) expect(read('CMakeLists.txt')).toContain(define.slice(1, -1))
})
