// A span for each call of the library, below the span that is active where the call was made. This file is all that a
// service needs, beside its own set-up of OpenTelemetry.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { SpanKind, SpanStatusCode, trace, type Span } from '@opentelemetry/api'
import type { CallMessage } from 'dm-thin/kernel'

/** Begins. What it gives ends it. */
export function traceCalls(): () => void {
  const tracer = trace.getTracer('dm-thin')
  const spans = new WeakMap<object, Span>()
  const listeners: Record<string, (message: unknown) => void> = {
    'tracing:dm-thin:call:start': message => {
      const { call, args } = message as CallMessage
      const device = deviceOf(args)
      const attributes = { 'dm.call': call, ...(device !== undefined && { 'dm.device': device }) }
      spans.set(message as CallMessage, tracer.startSpan(`dm-thin ${call}`, { kind: SpanKind.CLIENT, attributes }))
    },
    'tracing:dm-thin:call:asyncEnd': message => {
      const { error, errno = 0 } = message as CallMessage
      const span = spans.get(message as CallMessage)
      if (error instanceof Error) {
        span?.setAttribute('dm.errno', errno)
        span?.setStatus({ code: SpanStatusCode.ERROR, message: error.message })
      }
      span?.end()
    },
  }
  for (const [channel, listener] of Object.entries(listeners)) subscribe(channel, listener)
  return () => {
    for (const [channel, listener] of Object.entries(listeners)) unsubscribe(channel, listener)
  }
}

/** Returns the name of the device that a call is about; without one, that of its pool. */
function deviceOf(args: readonly unknown[]): string | undefined {
  const objects = args.filter(each => typeof each === 'object' && each !== null)
  for (const each of objects) {
    // A device is addressed by its name, or by its uuid or number with a label.
    const name = 'name' in each ? each.name : 'label' in each ? each.label : undefined
    if (typeof name === 'string') return name
  }
  const request = objects.find(each => 'pool' in each)
  return request && deviceOf([request.pool])
}
