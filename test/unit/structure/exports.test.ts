// index.mts names what index.ts exports; here by the compiler's knowledge of both, in test/package by Node's.
import ts from 'typescript'
import path from 'node:path'

const lib = path.join(__dirname, '../../../lib/entry')

test.each([
  ['index', 'ThinPool', 'ErrorCode'],
  ['kernel', 'DeviceMapper', 'Segment'],
  ['store', 'LayerStore', 'LayerInfo'],
  ['metadata', 'ThinMetadata', 'DeltaRange'],
  ['metrics', 'exportToPrometheus', 'ExportOptions'],
  ['transfer', 'sendVolume', 'SendOptions'],
  ['snapshotter', 'startSnapshotter', 'SnapshotterOptions'],
  ['snapshot-metadata', 'serveSnapshotMetadata', 'SnapshotResolver'],
  ['testing', 'memoryKernel', 'MemoryKernel'],
])('the CommonJS and ESM entries of %s export the same values and types', (entry, value, type) => {
  const files = [`${entry}.ts`, `${entry}.mts`].map(name => path.join(lib, name))
  const { config } = ts.readConfigFile(path.join(lib, '../../tsconfig.json'), name => ts.sys.readFile(name)) as {
    config: unknown
  }
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, path.join(lib, '../..'))
  const program = ts.createProgram(files, options)
  const checker = program.getTypeChecker()
  const [cjs, esm] = files.map(file => {
    const symbol = checker.getSymbolAtLocation(program.getSourceFile(file)!)!
    return checker
      .getExportsOfModule(symbol)
      .map(({ name }) => name)
      .sort()
  })
  expect(cjs).toContain(value)
  expect(cjs).toContain(type)
  expect(esm).toEqual(cjs)
})
