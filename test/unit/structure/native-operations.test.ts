// The names that both languages share: of what fails, and of the addon's functions.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const repository = path.join(__dirname, '../../..')
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8')
const found = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(match => match[2] ?? match[1]!)
const textIn = (folder: string, extension: string) =>
  (readdirSync(path.join(repository, folder), { recursive: true }) as string[])
    .filter(name => name.endsWith(extension) && !name.startsWith('test/'))
    .map(name => read(path.join(folder, name)))
    .join('\n')

describe('the list of operations', () => {
  const native = found(read('native/system/operation.h'), /^ {4}"(.*)",$/gm)

  test('is the same in TypeScript and C++', () => {
    expect(native.length).toBeGreaterThan(100)
    expect(found(read('lib/kernel/errors/native-operation.ts'), /^ {2}\| (['"])(.*)\1$/gm)).toEqual(native)
  })

  test('is sorted, and each of its names is used in C++', () => {
    expect([...native].sort()).toEqual(native)
    const uses = found(textIn('native', '.cc') + textIn('native', '.h'), /"([^"\n]+)"/g)
    const inTheListAlone = native.filter(name => uses.indexOf(name) === uses.lastIndexOf(name))
    expect(inTheListAlone).toEqual([])
  })
})

test('the port calls each function of the addon, and no other', () => {
  const exported = found(textIn('native/napi', '.cc'), /^ +\{"(\w+)", (?:call<|\w+\})/gm).filter(
    name => !/Faults?$/.test(name),
  )
  const port = read('lib/kernel/native-port.ts')
  const called = [
    ...found(port, /#(?:call|list|run|batch|each)(?:<\w+>)?\(\s*'(\w+)'/g),
    ...found(port, /#addon\['(\w+)'\]/g),
  ]
  expect(exported.length).toBeGreaterThan(80)
  expect([...new Set(called)].sort()).toEqual(exported.sort())
})
