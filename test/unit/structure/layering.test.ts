// Imports only go down, read from the import lines, so that the picture stays true: of files, types among them.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const repository = path.join(__dirname, '../../..')

/** Folders of lib from the bottom up: a file imports those of its own folder and of folders further up in this list. */
const ORDER = [
  'base',
  'kernel/errors',
  'kernel/port',
  'kernel/trace',
  'kernel',
  'target',
  'metadata',
  'block',
  'filesystem',
  'events',
  'mapper',
  'pool/state',
  'pool/spares',
  'pool/metadata-read',
  'pool/bookmark',
  'pool/check',
  'pool/lifecycle',
  'pool/repair',
  'pool/keeper',
  'pool/volume',
  'pool',
  'transfer',
  'transfer/backup',
  'testing',
  'store/common',
  'store/filter',
  'store/compare',
  'store/tar-read',
  'store/tar-write',
  'store/records',
  'store/engine',
  'store/layers',
  'store/open',
  'store/recovery',
  'store/images',
  'store/foreign',
  'store',
  'metrics',
  'grpc',
  'snapshotter',
  'snapshot-metadata',
  'entry',
  'cli/common',
  'cli',
]
/** A folder or file of more than this may have two subjects: the test prints it, and a reviewer decides. */
const MANY_FILES = 15
const MANY_LINES = 400

function filesOf(folder: string, extension: RegExp): string[] {
  const names = readdirSync(path.join(repository, folder), { recursive: true }) as string[]
  return names.filter(name => extension.test(name)).map(name => path.join(folder, name))
}
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8')
const found = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(match => match[1]!)

/** Files that lead back to themselves, along the imports of each. */
function circles(importsOf: ReadonlyMap<string, readonly string[]>): string[] {
  const [done, inside] = [new Set<string>(), [] as string[]]
  const found: string[] = []
  const visit = (file: string) => {
    const at = inside.indexOf(file)
    if (at >= 0) found.push([...inside.slice(at), file].join(' > '))
    if (at >= 0 || done.has(file)) return
    inside.push(file)
    for (const imported of importsOf.get(file) ?? []) visit(imported)
    inside.pop()
    done.add(file)
  }
  for (const file of importsOf.keys()) visit(file)
  return found
}

test('circles() finds a cycle of imports', () => {
  const circle = new Map([
    ['a', ['b', 'c']],
    ['b', []],
    ['c', ['d']],
    ['d', ['c']],
  ])
  expect(circles(circle)).toEqual(['c > d > c'])
  expect(circles(new Map([['a', ['b']]]))).toEqual([])
})

describe('lib', () => {
  const files = filesOf('lib', /(?<!\.d)\.m?ts$/)
  const folderOf = (file: string) => path.relative('lib', path.dirname(file))
  const importsOf = (file: string) => found(read(file), /(?<![.'])\b(?:from|import|require\()\s*\(?'([^'\n]+)'/g)
  const own = (file: string) =>
    importsOf(file)
      .filter(name => name.startsWith('.'))
      .map(name => path.join(path.dirname(file), name.replace(/\.js$/, '.ts')))

  test('every folder is in the order, and every entry of the order is a folder', () => {
    expect(files.length).toBeGreaterThan(30)
    expect([...new Set(files.map(folderOf))].sort()).toEqual([...ORDER].sort())
  })

  test('every import stays in its folder or goes down', () => {
    const place = (file: string) => ORDER.indexOf(folderOf(file))
    const upward = files.flatMap(file =>
      own(file)
        .filter(imported => place(imported) > place(file))
        .map(imported => `${file} imports ${imported}`),
    )
    expect(upward).toEqual([])
  })

  test('no file imports itself through other files, not even for a type', () => {
    expect(circles(new Map(files.map(file => [file, own(file)])))).toEqual([])
  })

  test('every import refers to an existing file', () => {
    expect(files.flatMap(own).length).toBeGreaterThan(50)
    expect(files.flatMap(own).filter(file => !files.includes(file))).toEqual([])
  })

  test('target and metadata are pure: they import only types of the kernel, and no module of Node', () => {
    const pure = files.filter(file => /^lib\/(target|metadata)\//.test(file))
    const impure = pure.filter(
      file =>
        importsOf(file).some(name => name.startsWith('node:')) || /^import (?!type )[^\n]*\/kernel\//m.test(read(file)),
    )
    expect(impure).toEqual([])
  })

  test('one file loads the addon, and one file calls its functions', () => {
    const loading = (name: string) => files.filter(file => importsOf(file).some(imported => imported.endsWith(name)))
    expect(loading('node-gyp-build')).toEqual(['lib/kernel/load-addon.ts'])
    expect(loading('/load-addon.js')).toEqual(['lib/kernel/native-port.ts'])
  })

  test('the memory kernel does not import the addon', () => {
    const testing = files.filter(file => /^lib\/testing\//.test(file))
    expect(testing.length).toBeGreaterThan(10)
    expect(testing.filter(file => importsOf(file).some(name => /native-port|load-addon/.test(name)))).toEqual([])
  })

  test('only modules of Node and the loader of the addon are imported, except in store, metrics, grpc and its servers, and cli', () => {
    const foreign = files
      .filter(file => !/^lib\/(store|metrics|grpc|snapshotter|snapshot-metadata|cli)\//.test(file))
      .flatMap(importsOf)
      .filter(name => !/^(\.|node:|node-gyp-build$)/.test(name))
    expect(foreign).toEqual([])
  })

  test('the store imports each optional peer in one file, and only when it needs it', () => {
    const foreign = files
      .filter(file => file.startsWith('lib/store/'))
      .flatMap(file =>
        importsOf(file)
          .filter(name => !/^(\.|node:)/.test(name))
          .map(name => `${file} ${name}`),
      )
    expect([...new Set(foreign)].sort()).toEqual([
      'lib/store/common/tar-stream.ts tar-stream',
      'lib/store/filter/filter.ts re2js',
      'lib/store/records/better-sqlite.ts better-sqlite3',
    ])
    const early = files.filter(file => /^import (?!type )[^\n]*'(better-sqlite3|re2js|tar-stream)'/m.test(read(file)))
    expect(early).toEqual([])
  })

  const foreignOf = (folder: string) =>
    files
      .filter(file => file.startsWith(folder))
      .flatMap(file => importsOf(file).filter(name => !/^(\.|node:)/.test(name)))

  test('only the command line imports commander, and nothing imports the command line', () => {
    expect([...new Set(foreignOf('lib/cli/'))]).toEqual(['commander'])
    const importing = files.filter(
      file => !file.startsWith('lib/cli/') && own(file).some(name => /^lib\/cli\//.test(name)),
    )
    expect(importing).toEqual([])
  })

  test('the servers of gRPC import their optional peers in one file, and only when they start', () => {
    expect([...new Set(foreignOf('lib/grpc/'))].sort()).toEqual(['@grpc/grpc-js', '@grpc/proto-loader'])
    for (const folder of ['lib/snapshotter/', 'lib/snapshot-metadata/'])
      expect([...new Set(foreignOf(folder))]).toEqual(['@grpc/grpc-js'])
    const early = files.filter(file => /^import (?!type )[^\n]*'@grpc\//m.test(read(file)))
    expect(early).toEqual([])
    const late = files.filter(file => /\bimport\('@grpc\//.test(read(file)))
    expect(late).toEqual(['lib/grpc/load.ts'])
  })

  test('the exporters of metrics import prom-client in one file, only when it is used, and types of OpenTelemetry', () => {
    expect([...new Set(foreignOf('lib/metrics/'))].sort()).toEqual(['@opentelemetry/api', 'prom-client'])
    const early = files.filter(file => /^import (?!type )[^\n]*'(prom-client|@opentelemetry\/)/m.test(read(file)))
    expect(early).toEqual([])
    expect(files.filter(file => read(file).includes("import('prom-client')"))).toEqual(['lib/metrics/prometheus.ts'])
  })

  test('only the mkfs of the store, which can be replaced, and the checks and repairs of metadata spawn processes', () => {
    const spawning = files.filter(file => /child_process|node:cluster|process\.binding|\bspawn/.test(read(file)))
    expect(spawning.sort()).toEqual(['lib/pool/check/thin-tools.ts', 'lib/store/common/mkfs.ts'])
    const early = files.filter(file => /^import (?!type )[^\n]*'node:child_process'/m.test(read(file)))
    expect(early).toEqual([])
  })
})

describe('native', () => {
  const files = filesOf('native', /\.(cc|h)$/).filter(file => !file.startsWith('native/test/'))
  /** From the bottom up. A file includes files of its own folder, and of the folders before it. */
  const FOLDERS = ['system', 'threads', 'dm', 'block', 'fs', 'metadata', 'tree', 'napi', 'parts']
  const folderOf = (file: string) => FOLDERS.indexOf(file.split('/')[1]!)
  const own = (file: string) => found(read(file), /^#include "([^"]+)"/gm).map(name => path.join('native', name))

  test('every file is in a folder of the order', () => {
    expect(files.length).toBeGreaterThan(100)
    expect(files.filter(file => folderOf(file) < 0)).toEqual([])
  })

  test('every include stays in its folder or goes down', () => {
    const upward = files.flatMap(file =>
      own(file)
        .filter(included => folderOf(included) > folderOf(file))
        .map(included => `${file} includes ${included}`),
    )
    expect(upward).toEqual([])
  })

  test('every include refers to an existing file, and none is part of a cycle', () => {
    expect(files.flatMap(own).length).toBeGreaterThan(300)
    expect(files.flatMap(own).filter(file => !files.includes(file))).toEqual([])
    expect(circles(new Map(files.map(file => [file, own(file)])))).toEqual([])
  })

  test('only native/napi includes headers of Node', () => {
    const knowing = files.filter(file => /^#include <(napi|node|js_native|uv|v8)/m.test(read(file)))
    expect([...new Set(knowing.map(file => file.split('/')[1]))]).toEqual(['napi'])
  })

  test('no file spawns a process', () => {
    const spawn = /\b(exec[lv][pe]*|execveat|popen|system|posix_spawnp?|v?fork|wordexp)\s*\(|SYS_(exec\w+|fork|vfork)/
    expect(files.filter(file => spawn.test(read(file).replace(/\/\/.*$/gm, '')))).toEqual([])
  })
})

test('large folders and files are printed, as a warning', () => {
  const files = ['lib', 'native', 'test']
    .flatMap(folder => filesOf(folder, /\.(m?ts|[cm]js|cc|h|c)$/))
    .filter(file => !file.includes('/node_modules/'))
  const sizes = new Map<string, number>()
  for (const file of files) sizes.set(path.dirname(file), (sizes.get(path.dirname(file)) ?? 0) + 1)
  const folders = [...sizes].filter(([, size]) => size > MANY_FILES).map(([name, size]) => `${name}: ${size} files`)
  const lines = files.map(file => [file, read(file).split('\n').length - 1] as const)
  const long = lines.filter(([, count]) => count > MANY_LINES).map(([file, count]) => `${file}: ${count} lines`)
  if (folders.length + long.length > 0) process.stderr.write(`Large:\n  ${[...folders, ...long].join('\n  ')}\n`)
  expect(files.length).toBeGreaterThan(800)
})
