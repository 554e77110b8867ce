// What a request did in the kernel, as spans below the request's own. Here they are kept in memory and printed; a
// service has an exporter of its own in that place.
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { MiB } from 'dm-thin'
import { withPool } from '../scratch.mjs'
import { traceCalls } from './spans.mjs'

const exporter = new InMemorySpanExporter()
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
const tracer = trace.getTracer('service')

await withPool('opentelemetry', async pool => {
  const golden = await pool.createVolume({ sizeBytes: 64 * MiB, id: 1 })
  const end = traceCalls()
  await tracer.startActiveSpan('start a sandbox', async span => {
    const root = await golden.snapshot({ id: 2, activate: true })
    await root.destroy()
    await pool.createVolume({ sizeBytes: 64 * MiB, id: 1 }).catch(() => {}) // taken: the span says so
    span.end()
  })
  end()
})

const spans = exporter.getFinishedSpans()
for (const parent of spans.filter(span => span.parentSpanContext === undefined)) {
  console.log(parent.name)
  const id = parent.spanContext().spanId
  for (const { name, attributes, status } of spans.filter(span => span.parentSpanContext?.spanId === id)) {
    const refused = status.message === undefined ? '' : `: errno ${String(attributes['dm.errno'])}, ${status.message}`
    console.log(
      `  ${name}${attributes['dm.device'] === undefined ? '' : ` (${String(attributes['dm.device'])})`}${refused}`,
    )
  }
}
