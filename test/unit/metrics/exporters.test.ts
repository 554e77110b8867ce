// The exporters over pools in memory: Prometheus as prom-client prints it, OpenTelemetry as its SDK collects it.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { Registry } from 'prom-client'
import { MiB, ThinPool } from '../../../lib/entry/index.js'
import {
  exportToOpenTelemetry,
  exportToPrometheus,
  serveMetrics,
  type MetricsSource,
  type PrometheusOptions,
} from '../../../lib/entry/metrics.js'
import { memoryKernel } from '../../../lib/entry/testing.js'

const root = path.join(__dirname, '../../..')

async function withPools(names: readonly string[], body: (...pools: ThinPool[]) => Promise<void>): Promise<void> {
  const kernel = memoryKernel({ dataBlocks: 64, metadataBytes: 64 * MiB })
  const pools: ThinPool[] = []
  try {
    for (const name of names) pools.push(await ThinPool.create(kernel.poolOptions(name)))
    await body(...pools)
  } finally {
    for (const pool of pools) await pool.remove({ deactivate: true }).catch(() => {})
  }
}

/** The lines of a scrape without those that begin with `#`. */
const valuesOf = async (registry: Registry): Promise<string[]> =>
  (await registry.metrics()).split('\n').filter(line => line !== '' && !line.startsWith('#'))

describe('the exporter for Prometheus', () => {
  test('prints the numbers of each pool with the names of TopoLVM where those exist', async () => {
    await withPools(['first', 'second'], async (first, second) => {
      const registry = new Registry()
      await first.createVolume({ sizeBytes: MiB })
      const stop = await exportToPrometheus([first, second], { registry, labels: { node: 'a1' } })
      const lines = await valuesOf(registry)
      const { dataTotalBytes } = await first.metrics()
      expect(lines).toContain(`topolvm_thinpool_size_bytes{pool="first",node="a1"} ${dataTotalBytes}`)
      expect(lines).toContain('topolvm_thinpool_data_percent{pool="second",node="a1"} 0')
      expect(lines).toContain('dm_thin_pool_volumes{pool="first",node="a1"} 1')
      expect(lines).toContain('dm_thin_pool_volumes{pool="second",node="a1"} 0')
      expect(lines).toContain('dm_thin_pool_growths_total{pool="first",node="a1"} 0')
      expect(lines).toContain('dm_thin_pool_up{pool="first",node="a1"} 1')
      expect(lines.filter(line => line.includes('volume_mapped_bytes'))).toEqual([])
      stop()
      expect(await valuesOf(registry)).toEqual([])
    })
  })

  test('asks a pool once for a scrape, and once more for the next one', async () => {
    await withPools(['counted'], async pool => {
      const registry = new Registry()
      const metrics = jest.spyOn(pool, 'metrics')
      await exportToPrometheus([pool], { registry })
      await registry.metrics()
      expect(metrics).toHaveBeenCalledTimes(1)
      await registry.metrics()
      expect(metrics).toHaveBeenCalledTimes(2)
    })
  })

  test('prints each of 1000 volumes if the option volumes is set, from one call', async () => {
    await withPools(['many'], async pool => {
      const registry = new Registry()
      const origin = await pool.createVolume({ sizeBytes: MiB })
      await pool.snapshotMany(origin, 999)
      const metrics = jest.spyOn(pool, 'metrics')
      await exportToPrometheus([pool], { registry, volumes: true })
      const lines = await valuesOf(registry)
      expect(lines.filter(line => line.startsWith('dm_thin_volume_mapped_bytes{'))).toHaveLength(1000)
      expect(lines).toContain(`dm_thin_volume_mapped_bytes{pool="many",thin_id="${origin.id}",volume=""} 0`)
      expect(metrics).toHaveBeenCalledTimes(1)
    })
  })

  test('a pool that was removed is down, and does not hide the others', async () => {
    await withPools(['gone', 'there'], async (gone, there) => {
      const registry = new Registry()
      await exportToPrometheus([gone, there], { registry })
      await gone.remove()
      const lines = await valuesOf(registry)
      expect(lines.filter(line => line.includes('pool="gone"'))).toEqual(['dm_thin_pool_up{pool="gone"} 0'])
      expect(lines).toContain('dm_thin_pool_up{pool="there"} 1')
    })
  })

  test('a function gives the sources of each scrape: a pool that is no longer among them has no values', async () => {
    await withPools(['first', 'second'], async (first, second) => {
      const registry = new Registry()
      let sources: MetricsSource[] = [first, second]
      await exportToPrometheus(() => sources, { registry })
      expect(await valuesOf(registry)).toContain('dm_thin_pool_up{pool="first"} 1')
      sources = [second]
      expect((await valuesOf(registry)).filter(line => line.includes('"first"'))).toEqual([])
    })
  })

  test.each([
    ['a source that is no pool', [{}], {}, /must be a ThinPool or a LayerStore/],
    ['an unknown option', [], { registery: 1 }, /unknown option "registery"/],
    ['a label of its own', [], { labels: { pool: 'x' } }, /"pool" is not a name for a label/],
    ['a label with a hyphen', [], { labels: { 'a-b': 'x' } }, /"a-b" is not a name for a label/],
    ['a label that is a number', [], { labels: { node: 1 } }, /node must be a string/],
  ])('%s is rejected', async (_, sources, options, text) => {
    const call = exportToPrometheus(sources as never, { registry: new Registry(), ...options } as PrometheusOptions)
    await expect(call).rejects.toMatchObject({
      code: 'DM_INVALID_ARGUMENT',
      message: expect.stringMatching(text) as string,
    })
  })
})

test('the exporter for OpenTelemetry observes each pool once for a collection, until it is stopped', async () => {
  await withPools(['observed'], async pool => {
    await pool.createVolume({ sizeBytes: MiB })
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
    const provider = new MeterProvider({ readers: [reader] })
    const metrics = jest.spyOn(pool, 'metrics')
    const stop = exportToOpenTelemetry([pool], {
      meter: provider.getMeter('test'),
      volumes: true,
      labels: { node: 'a' },
    })
    await reader.forceFlush()
    expect(metrics).toHaveBeenCalledTimes(1)
    const found = exporter.getMetrics()[0]!.scopeMetrics[0]!.metrics
    const of = (name: string) => found.find(({ descriptor }) => descriptor.name === name)
    expect(of('dm_thin_pool_volumes')?.dataPoints).toMatchObject([
      { value: 1, attributes: { pool: 'observed', node: 'a' } },
    ])
    expect(of('dm_thin_volume_mapped_bytes')?.dataPoints).toMatchObject([{ value: 0, attributes: { thin_id: '0' } }])
    expect(of('dm_thin_pool_growths')).toMatchObject({ isMonotonic: true })
    expect(of('topolvm_thinpool_size_bytes')?.descriptor).toMatchObject({ unit: 'By' })
    stop()
    await reader.forceFlush()
    expect(metrics).toHaveBeenCalledTimes(1)
    await provider.shutdown()
  })
})

describe('the server of metrics', () => {
  test('answers a scrape, rejects other paths, and is closed by stop', async () => {
    await withPools(['served'], async pool => {
      const server = await serveMetrics([pool], { port: 0 })
      expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
      const scrape = await fetch(server.url)
      expect(scrape.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
      expect(await scrape.text()).toContain('dm_thin_pool_up{pool="served"} 1')
      expect((await fetch(new URL('/', server.url))).status).toBe(404)
      expect((await fetch(server.url, { method: 'POST' })).status).toBe(404)
      await Promise.all([server.stop(), server.stop()])
      await expect(fetch(server.url)).rejects.toThrow()
    })
  })

  test('rejects a port that is taken, and a host that is no address', async () => {
    await withPools(['served'], async pool => {
      const server = await serveMetrics([pool], { port: 0 })
      const port = Number(new URL(server.url).port)
      await expect(serveMetrics([pool], { port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
      await expect(serveMetrics([pool], { port, host: '' })).rejects.toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
      await expect(serveMetrics([pool], { port: 65_536 })).rejects.toMatchObject({ code: 'DM_INVALID_ARGUMENT' })
      await server.stop()
    })
  })
})

test('every metric of the dashboard is exported, and every exported metric is on the page of metrics', async () => {
  const registry = new Registry()
  await exportToPrometheus([], { registry, volumes: true })
  const exported = registry.getMetricsAsArray().map(({ name }) => name)
  const dashboard = readFileSync(path.join(root, 'docs/metrics-dashboard.json'), 'utf8')
  const shown = new Set(dashboard.match(/\b(dm_thin|topolvm)_\w+/g))
  expect(shown.size).toBeGreaterThan(8)
  expect([...shown].filter(name => !exported.includes(name))).toEqual([])
  const { panels } = JSON.parse(dashboard) as { panels: { title: string; targets: unknown[] }[] }
  expect(panels.every(({ title, targets }) => title !== '' && targets.length > 0)).toBe(true)
  const page = readFileSync(path.join(root, 'docs/monitoring.md'), 'utf8')
  expect(exported.filter(name => !page.includes(`\`${name}\``))).toEqual([])
})
