/**
 * Traces and metrics over OTLP/HTTP (protobuf). Off by default: nothing of the OpenTelemetry SDK is loaded before an
 * endpoint is named, and until then every span and measurement of this library is a no-op of `@opentelemetry/api`.
 *
 * No resource detectors and no automatic instrumentation: both would send what nobody has looked at (command lines, host
 * and user names, URLs). What leaves the process is what `withSpan`, `counter` and `histogram` were given, after
 * `redact.ts`.
 */
import { context, metrics, propagation, trace } from '@opentelemetry/api';
import { TELEMETRY } from './errors.ts';

/** Long enough to cost nothing, short enough that a dashboard of a running erasure (60 s) has several points. */
const METRICS_INTERVAL_MS = 15_000;
/** A collector that does not answer must not hold up the shutdown of a service. */
const EXPORT_TIMEOUT_MS = 5_000;

export interface TelemetryOptions {
  /** `service.name` of everything that is sent: `lethe-vault`, `lethe-platform`, … */
  readonly serviceName: string;
  /** Base URL of an OTLP/HTTP collector, as in `http://127.0.0.1:4318`; `/v1/traces` and `/v1/metrics` are appended. */
  readonly endpoint: string | undefined;
}

export interface Telemetry {
  /** Sends what is waiting, at most 5 s, and makes every call of this library a no-op again. */
  shutdown(): Promise<void>;
}

/**
 * Registers the SDK for this process: batched traces, metrics every 15 s, W3C `traceparent`, context across `await`.
 * Without an endpoint nothing is loaded and `shutdown` does nothing. Call it before the first span.
 * @throws LetheError LETHE-2502 the endpoint is not an http or https URL
 */
export async function startTelemetry({ serviceName, endpoint }: TelemetryOptions): Promise<Telemetry> {
  if (endpoint === undefined || endpoint === '') return { shutdown: async () => {} };
  const base = baseOf(endpoint);
  const [sdkTrace, sdkMetrics, traceExporter, metricExporter, hooks, core, resources] = await Promise.all([
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/sdk-metrics'),
    import('@opentelemetry/exporter-trace-otlp-proto'),
    import('@opentelemetry/exporter-metrics-otlp-proto'),
    import('@opentelemetry/context-async-hooks'),
    import('@opentelemetry/core'),
    import('@opentelemetry/resources'),
  ]);
  const resource = resources.resourceFromAttributes({ 'service.name': serviceName });
  const target = (signal: 'traces' | 'metrics') => ({
    url: `${base}/v1/${signal}`,
    timeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const tracerProvider = new sdkTrace.TracerProvider({
    resource,
    spanProcessors: [
      new sdkTrace.BatchSpanProcessor({
        exporter: new traceExporter.OTLPTraceExporter(target('traces')),
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      }),
    ],
  });
  const meterProvider = new sdkMetrics.MeterProvider({
    resource,
    readers: [
      new sdkMetrics.PeriodicExportingMetricReader({
        exporter: new metricExporter.OTLPMetricExporter(target('metrics')),
        exportIntervalMillis: METRICS_INTERVAL_MS,
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      }),
    ],
  });
  context.setGlobalContextManager(new hooks.AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new core.W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(tracerProvider);
  metrics.setGlobalMeterProvider(meterProvider);
  return {
    async shutdown() {
      // A collector that is gone is no reason for a service to end with an error.
      await Promise.allSettled([tracerProvider.shutdown(), meterProvider.shutdown()]);
      for (const api of [trace, metrics, propagation, context]) api.disable();
    },
  };
}

function baseOf(endpoint: string): string {
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw TELEMETRY.BAD_ENDPOINT(`"${endpoint}" is not the URL of a collector`);
  }
  return endpoint.replace(/\/+$/, '');
}
