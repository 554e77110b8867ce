/**
 * Contains the exporters of metrics for Prometheus and OpenTelemetry.
 *
 * @module dm-thin/metrics
 */
export { exportToPrometheus, type PrometheusOptions, type PrometheusRegistry } from '../metrics/prometheus.js'
export { exportToOpenTelemetry, type OpenTelemetryMeter, type OpenTelemetryOptions } from '../metrics/opentelemetry.js'
export type { ExportOptions, MetricsSource, MetricsSources } from '../metrics/sources.js'
export { serveMetrics, type MetricsServer, type ServeMetricsOptions } from '../metrics/endpoint.js'
