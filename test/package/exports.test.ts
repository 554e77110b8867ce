// The types of the ESM and CommonJS entries name the same values and types; formats.test.ts compares what Node loads.
import ts from 'typescript'
import path from 'node:path'
import { consumer, repository } from './package'

const folder = path.join(consumer(), 'node_modules/dm-thin/dist/entry')

const ENTRIES = [
  ['index', 'ThinPool', 'ErrorCode'],
  ['kernel', 'DeviceMapper', 'Segment'],
  ['store', 'LayerStore', 'LayerInfo'],
  ['metadata', 'ThinMetadata', 'DeltaRange'],
  ['metrics', 'exportToPrometheus', 'ExportOptions'],
  ['transfer', 'sendVolume', 'SendOptions'],
  ['snapshotter', 'startSnapshotter', 'SnapshotterOptions'],
  ['snapshot-metadata', 'serveSnapshotMetadata', 'SnapshotResolver'],
  ['testing', 'memoryKernel', 'MemoryKernel'],
] as const
const filesOf = (entry: string) => [`${entry}.d.ts`, `${entry}.d.mts`].map(name => path.join(folder, name))

/** All entries in one program: most of their files are the same. */
let program: ts.Program
beforeAll(() => {
  const { config } = ts.readConfigFile(path.join(repository, 'tsconfig.json'), name => ts.sys.readFile(name)) as {
    config: unknown
  }
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, repository)
  program = ts.createProgram(
    ENTRIES.flatMap(([entry]) => filesOf(entry)),
    options,
  )
})

test.each(ENTRIES)('the CommonJS and ESM entries of %s export the same values and types', (entry, value, type) => {
  const checker = program.getTypeChecker()
  const [cjs, esm] = filesOf(entry).map(file => {
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
