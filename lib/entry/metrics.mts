// The ESM entry of metrics.ts: see index.mts.
export type * from './metrics.js'
export { exportToOpenTelemetry, exportToPrometheus, serveMetrics } from './metrics.js'
