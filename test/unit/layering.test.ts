// Folders are layers and imports only go down: read from the import lines, so that the picture stays true.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const repository = path.join(__dirname, '../..')

/** From the bottom up. Within a layer files may import each other. */
const LAYERS = [
  ['base'],
  ['kernel'],
  ['target'],
  ['metadata'],
  ['block'],
  ['filesystem'],
  ['events'],
  ['mapper'],
  ['pool'],
  ['testing'],
  ['store'],
  ['entry', 'cli'],
]

function filesOf(folder: string, extension: RegExp): string[] {
  const names = readdirSync(path.join(repository, folder), { recursive: true }) as string[]
  return names.filter(name => extension.test(name)).map(name => path.join(folder, name))
}
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8')
const found = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(match => match[1]!)

describe('lib', () => {
  const files = filesOf('lib', /(?<!\.d)\.m?ts$/)
  const layerOf = (file: string) => {
    const [top] = path.relative('lib', file).split('/')
    return LAYERS.findIndex(layer => layer.includes(top!))
  }
  const importsOf = (file: string) => found(read(file), /(?<!\.)\b(?:from|import|require\()\s*\(?'([^'\n]+)'/g)
  const own = (file: string) =>
    importsOf(file)
      .filter(name => name.startsWith('.'))
      .map(name => path.join(path.dirname(file), name.replace(/\.js$/, '.ts')))

  test('every file has a layer', () => {
    expect(files.length).toBeGreaterThan(30)
    expect(files.filter(file => layerOf(file) < 0)).toEqual([])
  })

  test('every import goes down, or stays in its layer', () => {
    const upward = files.flatMap(file =>
      own(file)
        .filter(imported => layerOf(imported) > layerOf(file))
        .map(imported => `${file} imports ${imported}`),
    )
    expect(upward).toEqual([])
  })

  test('every import is of a file that there is', () => {
    expect(files.flatMap(own).length).toBeGreaterThan(50)
    expect(files.flatMap(own).filter(file => !files.includes(file))).toEqual([])
  })

  test('target and metadata are pure: of the kernel they know the types, and of Node nothing', () => {
    const pure = files.filter(file => /^lib\/(target|metadata)\//.test(file))
    const impure = pure.filter(
      file =>
        importsOf(file).some(name => name.startsWith('node:')) || /^import (?!type )[^\n]*\/kernel\//m.test(read(file)),
    )
    expect(impure).toEqual([])
  })

  test('one file loads the addon, one knows its functions', () => {
    const loading = (name: string) => files.filter(file => importsOf(file).some(imported => imported.endsWith(name)))
    expect(loading('node-gyp-build')).toEqual(['lib/kernel/load-addon.ts'])
    expect(loading('/load-addon.js')).toEqual(['lib/kernel/native-port.ts'])
  })

  test('the memory kernel does not know the native side', () => {
    const testing = files.filter(file => /^lib\/testing\//.test(file))
    expect(testing.length).toBeGreaterThan(10)
    expect(testing.filter(file => importsOf(file).some(name => /native-port|load-addon/.test(name)))).toEqual([])
  })

  test('nothing but Node itself and the loader is imported', () => {
    const foreign = files
      .filter(file => !file.startsWith('lib/store/'))
      .flatMap(importsOf)
      .filter(name => !/^(\.|node:|node-gyp-build$)/.test(name))
    expect(foreign).toEqual([])
  })

  test('the store imports its optional peers too, each in one file, and when it needs them', () => {
    const foreign = files
      .filter(file => file.startsWith('lib/store/'))
      .flatMap(file =>
        importsOf(file)
          .filter(name => !/^(\.|node:)/.test(name))
          .map(name => `${file} ${name}`),
      )
    expect([...new Set(foreign)].sort()).toEqual([
      'lib/store/common/tar-stream.ts tar-stream',
      'lib/store/records/better-sqlite.ts better-sqlite3',
    ])
    const early = files.filter(file => /^import (?!type )[^\n]*'(better-sqlite3|tar-stream)'/m.test(read(file)))
    expect(early).toEqual([])
  })

  test('nothing spawns but the one formatter of the store, which can be replaced', () => {
    const spawning = files.filter(file => /child_process|node:cluster|process\.binding|\bspawn/.test(read(file)))
    expect(spawning).toEqual(['lib/store/common/mkfs.ts'])
  })
})

describe('native', () => {
  const files = filesOf('native', /\.(cc|h)$/).filter(file => !file.startsWith('native/test/'))
  const layerOf = (file: string) => file.split('/')[1]
  const includesOf = (file: string) => found(read(file), /^#include ["<]([^">]+)[">]/gm)
  const ALLOWED: Record<string, RegExp> = {
    abi: /^abi\//,
    run: /^(abi|run)\//,
    tree: /^(abi|tree)\//,
    bind: /^(abi|run|tree|bind)\//,
    parts: /^(abi|run|tree|bind)\//,
  }

  test('abi includes only itself, run and tree also abi, bind all', () => {
    expect(files.filter(file => ALLOWED[layerOf(file)!] === undefined)).toEqual([])
    const own = (file: string) => includesOf(file).filter(name => /^(\.|abi|run|tree|bind)/.test(name))
    const wrong = files.flatMap(file =>
      own(file)
        .filter(name => !ALLOWED[layerOf(file)!]!.test(name))
        .map(name => `${file} includes ${name}`),
    )
    expect(wrong).toEqual([])
  })

  test('only bind knows Node', () => {
    const knowing = files.filter(file => includesOf(file).some(name => /^(napi|node|js_native|uv|v8)/.test(name)))
    expect([...new Set(knowing.map(layerOf))]).toEqual(['bind'])
  })

  test('nothing spawns', () => {
    const spawn = /\b(exec[lv][pe]*|execveat|popen|system|posix_spawnp?|v?fork|wordexp)\s*\(|SYS_(exec\w+|fork|vfork)/
    expect(files.filter(file => spawn.test(read(file).replace(/\/\/.*$/gm, '')))).toEqual([])
  })
})
