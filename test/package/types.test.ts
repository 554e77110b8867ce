// What a TypeScript user sees of the package, with their compiler's settings and not ours.
// @full
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { copyOfConsumer, repository, run } from './package'

const USE = `
import { DmThinError, GiB, LoopDevice, MiB, mount, ThinPool, unmount, volumesOf } from 'dm-thin'
import type { CreatePoolOptions, ErrorCode, Holder, PoolStatus, ThinVolume, VolumeResult, VolumeStatus } from 'dm-thin'
import { defineTarget, DeviceMapper, linear, MappedDevice, parseTableLine, trace } from 'dm-thin/kernel'
import type { CallMessage, Segment, SignalOption, TargetLine, UdevTransaction } from 'dm-thin/kernel'
import { ThinMetadata } from 'dm-thin/metadata'
import type { DeltaRange, ThinDevice } from 'dm-thin/metadata'
import { exportToOpenTelemetry, exportToPrometheus, serveMetrics } from 'dm-thin/metrics'
import type { MetricsServer } from 'dm-thin/metrics'
import { receiveVolume, sendVolume } from 'dm-thin/transfer'
import { memoryKernel } from 'dm-thin/testing'
import type { ErrnoName, Leftovers, MemoryKernel } from 'dm-thin/testing'
import { startSnapshotter } from 'dm-thin/snapshotter'
import type { Snapshotter } from 'dm-thin/snapshotter'
import { poolSnapshots, serveSnapshotMetadata, storeSnapshots } from 'dm-thin/snapshot-metadata'
import type { SnapshotMetadataServer, SnapshotResolver } from 'dm-thin/snapshot-metadata'

export async function use(signal: AbortSignal): Promise<PoolStatus> {
  const options: CreatePoolOptions = {
    name: 'demo',
    data: { file: 'data.img', sizeBytes: 10 * GiB },
    metadata: { file: 'metadata.img', sizeBytes: 64 * MiB },
    signal,
  }
  await using pool = await ThinPool.create(options)
  const base: ThinVolume = await pool.createVolume({ sizeBytes: 1 * GiB })
  const results: VolumeResult[] = await pool.snapshotMany(base, 2)
  const [first] = volumesOf(results)
  await using loop = await LoopDevice.attach({ file: 'other.img' })
  await mount({ source: loop.path, target: '/mnt', type: 'ext4' })
  await unmount('/mnt')
  try {
    const status: VolumeStatus | undefined = await first?.status()
    console.log(status?.mappedBytes)
  } catch (fault) {
    if (!(fault instanceof DmThinError)) throw fault
    const code: ErrorCode = fault.code
    const holders: readonly Holder[] = fault.holders
    console.log(code, holders, fault.rollback)
  }
  await using snapshot = await pool.reserveMetadataSnapshot()
  console.log(snapshot.root)
  return pool.status()
}

export async function below(message: CallMessage, options: SignalOption): Promise<TargetLine[]> {
  const dm = await DeviceMapper.open(options)
  await using udev: UdevTransaction = await dm.beginUdev()
  const segment: Segment = linear({ lengthSectors: 8, device: '7:0' })
  await using device = await MappedDevice.create({ name: 'demo', table: [segment], mapperLink: true })
  await dm.resume(device.name, { udev })
  const own = defineTarget<{ lengthSectors: number; device: string }>({
    type: 'own',
    options: ['device'],
    format: ({ device }) => [device],
    parseTable: reader => ({ device: reader.word('device') }),
  })
  trace(false)
  console.log(message.durationMs, own({ lengthSectors: 8, device: '7:0' }), (await device.table()).map(line => parseTableLine(line)))
  return device.status()
}

export const serve = (address: string): Promise<Snapshotter> =>
  startSnapshotter({ address, store: { directory: '/var/lib/dm-thin' }, pools: { fast: {} } })

export function blocks(address: string, pool: ThinPool, own?: SnapshotResolver): Promise<SnapshotMetadataServer> {
  console.log(storeSnapshots.name)
  return serveSnapshotMetadata({ address, snapshots: own ?? poolSnapshots(pool, { bookmarks: '/backup' }) })
}

export async function exported(pool: ThinPool, options: Parameters<typeof exportToOpenTelemetry>[1]): Promise<MetricsServer> {
  exportToOpenTelemetry([pool], options)()
  const remove = await exportToPrometheus(() => [pool], { labels: { node: 'a' } })
  remove()
  return serveMetrics([pool], { port: 0 })
}

export async function sent(from: ThinPool, to: ThinPool, volume: ThinVolume): Promise<ThinVolume> {
  return receiveVolume(to, await sendVolume(from, volume, { onProgress: ({ bytes }) => console.log(bytes) }))
}

export async function changed(file: string): Promise<number> {
  await using metadata = await ThinMetadata.open(file)
  const [left, right]: ThinDevice[] = await metadata.devices()
  const ranges: DeltaRange[] = []
  if (left && right) for await (const range of metadata.delta(left.id, right.id, { withData: true })) ranges.push(range)
  return ranges.reduce((sum, { length }) => sum + length, 0) * metadata.dataBlockBytes
}

export async function inATest(errno: ErrnoName): Promise<Leftovers> {
  const kernel: MemoryKernel = memoryKernel({ dataBlocks: 16 })
  await using pool = await ThinPool.create(kernel.poolOptions())
  kernel.fail('TARGET_MSG', errno)
  const { data } = await pool.status()
  console.log(data?.usedBytes)
  return kernel.left()
}
`
const NODENEXT = { module: 'nodenext', moduleResolution: 'nodenext' }
const BUNDLER = { module: 'esnext', moduleResolution: 'bundler' }
const LIB = { lib: ['ES2022', 'ESNext.Disposable'], target: 'ES2022', types: ['node'] }
const STRICTEST = {
  strict: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  isolatedModules: true,
  verbatimModuleSyntax: false,
}

let where: string
beforeAll(() => {
  where = copyOfConsumer('typescript')
  mkdirSync(path.join(where, 'node_modules/@types'))
  for (const name of ['node']) {
    symlinkSync(path.join(repository, 'node_modules/@types', name), path.join(where, 'node_modules/@types', name))
  }
})

function compile(name: string, compilerOptions: object) {
  const config = `${path.basename(name)}.json`
  writeFileSync(path.join(where, name), USE)
  writeFileSync(path.join(where, config), JSON.stringify({ compilerOptions, files: [name] }))
  const tsc = path.join(repository, 'node_modules/typescript/bin/tsc')
  const { status, output } = run(process.execPath, [tsc, '--noEmit', '-p', config], where)
  return { status, output }
}
const CLEAN = { status: 0, output: '' }

test.each([
  ['an ES module, nodenext', 'use-esm.mts', { ...NODENEXT, ...LIB, ...STRICTEST }],
  ['a CommonJS module, nodenext', 'use-cjs.cts', { ...NODENEXT, ...LIB, ...STRICTEST }],
  ['a bundler', 'use-bundler.ts', { ...BUNDLER, ...LIB, ...STRICTEST }],
  ['the newest of everything', 'use-esnext.mts', { ...NODENEXT, ...STRICTEST, target: 'esnext', types: ['node'] }],
  ['settings that are not strict', 'use-loose.mts', { ...NODENEXT, ...LIB, strict: false, skipLibCheck: false }],
])('the types are complete for %s', (_, name, options) => {
  expect(compile(name, options)).toEqual(CLEAN)
})

test('the types are complete without the disposable library and without `await using`', () => {
  const plain = USE.replaceAll('await using', 'const')
  writeFileSync(path.join(where, 'plain.mts'), plain)
  const compilerOptions = { ...NODENEXT, ...STRICTEST, target: 'ES2022', lib: ['ES2022'], types: ['node'] }
  writeFileSync(path.join(where, 'plain.json'), JSON.stringify({ compilerOptions, files: ['plain.mts'] }))
  const tsc = path.join(repository, 'node_modules/typescript/bin/tsc')
  const { status, output } = run(process.execPath, [tsc, '--noEmit', '-p', 'plain.json'], where)
  expect({ status, output }).toEqual(CLEAN)
})
